/** The page's end of the protocol: a proxy with one method per entry of {@link Methods}. */
import { abortError, fromWire, InvalidRequestError, ProtocolMismatch } from "../errors.js";
import {
  type Args,
  type Event,
  type MethodMap,
  type Methods,
  type Port,
  PROTOCOL_VERSION,
  type Result,
  type ServerMessage,
} from "./protocol.js";

export interface CallOptions<E = unknown> {
  signal?: AbortSignal | undefined;
  onEvent?: ((event: E) => void) | undefined;
  /** Of the arguments, what this side gives away. */
  transfer?: Transferable[] | undefined;
}

export type Calls<M extends MethodMap = Methods> = {
  [K in keyof M]: (args: Args<M[K]>, options?: CallOptions<Event<M[K]>>) => Promise<Result<M[K]>>;
};

export interface Client<M extends MethodMap = Methods> {
  call: Calls<M>;
  /** Rejects everything under way, and every later call, with `error`. */
  close(error: Error): void;
}

/** What can't be sent is what a caller gave: a function, or an object that stands for another. */
function unsendable(method: string, error: Error): Error {
  if (error.name !== "DataCloneError") return error;
  const what = `what was given to ${method} can't be sent to the engine: give plain data`;
  return new InvalidRequestError(`${what} (${error.message})`, {}, { cause: error });
}

interface Pending {
  resolve(result: unknown): void;
  reject(error: Error): void;
  onEvent?: ((event: never) => void) | undefined;
}

/** Resolves when the other side has said hello. @throws ProtocolMismatch */
export async function connectClient<M extends MethodMap = Methods>(
  port: Port,
  failed: Promise<never>,
): Promise<Client<M>> {
  const pending = new Map<number, Pending>();
  let closed: Error | undefined;
  let lastId = 0;
  let greet: (version: number) => void = () => {};
  const greeting = new Promise<number>((resolve) => {
    greet = resolve;
  });

  port.addEventListener("message", ({ data }) => {
    const message = data as ServerMessage;
    if ("hello" in message) {
      greet(message.hello);
      return;
    }
    const call = pending.get(message.id);
    if (!call) return; // the answer to a cancelled call
    if ("event" in message) {
      call.onEvent?.(message.event as never);
      return;
    }
    if ("error" in message) call.reject(fromWire(message.error));
    else call.resolve(message.result);
    pending.delete(message.id);
  });
  port.start?.();

  const close = (error: Error) => {
    closed ??= error;
    for (const call of pending.values()) call.reject(error);
    pending.clear();
  };
  failed.catch(close);

  const call = (
    method: string,
    args: unknown,
    { signal, onEvent, transfer = [] }: CallOptions = {},
  ) =>
    new Promise((resolve, reject) => {
      if (closed) return reject(closed);
      if (signal?.aborted) return reject(abortError(signal));
      const id = ++lastId;
      const onAbort = () => port.postMessage({ id, cancel: abortError(signal).message });
      const done = () => signal?.removeEventListener("abort", onAbort);
      signal?.addEventListener("abort", onAbort, { once: true });
      pending.set(id, {
        onEvent: onEvent as Pending["onEvent"],
        resolve: (result) => {
          done();
          resolve(result);
        },
        reject: (error) => {
          done();
          reject(error);
        },
      });
      try {
        port.postMessage({ id, method, args }, transfer);
      } catch (error) {
        pending.delete(id);
        done();
        reject(unsendable(method, error as Error));
      }
    });

  port.postMessage({ hello: PROTOCOL_VERSION });
  const version = await Promise.race([greeting, failed]);
  if (version !== PROTOCOL_VERSION) {
    throw new ProtocolMismatch(
      `worker.js speaks protocol ${version}, the page ${PROTOCOL_VERSION}: serve both from one version of webbuild`,
      { page: PROTOCOL_VERSION, worker: version },
    );
  }
  const calls = new Proxy({} as Calls<M>, {
    get: (_, method) => (args: unknown, options?: CallOptions) =>
      call(String(method), args, options),
  });
  return { call: calls, close };
}
