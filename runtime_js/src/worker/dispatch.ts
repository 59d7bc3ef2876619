/** The end of the protocol that answers: one abort signal per call. */
import { AbortError, toWire, WebbuildError } from "../errors.js";
import {
  type Args,
  type ClientMessage,
  type Event,
  type MethodMap,
  type Methods,
  type Port,
  PROTOCOL_VERSION,
  type Result,
  type ServerMessage,
} from "./protocol.js";

export interface Context<E> {
  signal: AbortSignal;
  emit(event: E): void;
}

export type Handlers<M extends MethodMap = Methods> = {
  [K in keyof M]: (
    args: Args<M[K]>,
    context: Context<Event<M[K]>>,
  ) => Promise<Result<M[K]>> | Result<M[K]>;
};

/**
 * Answers calls with handlers; what they throw crosses as a named error.
 *
 * @returns aborts the signals of the calls under way, for when nobody waits for their answers any more
 */
export function dispatch<M extends MethodMap>(
  port: Port,
  handlers: Handlers<M>,
): (error: Error) => void {
  const running = new Map<number, AbortController>();
  const send = (message: ServerMessage) => port.postMessage(message);

  const run = async (id: number, method: string, args: unknown) => {
    const controller = new AbortController();
    running.set(id, controller);
    const emit = (event: unknown) => send({ id, event });
    try {
      const handler = Object.hasOwn(handlers, method) ? handlers[method] : undefined;
      if (!handler) throw new WebbuildError(`the worker has no method ${method}`);
      send({ id, result: await handler(args as never, { signal: controller.signal, emit }) });
    } catch (error) {
      send({ id, error: toWire(error) });
    } finally {
      running.delete(id);
    }
  };

  port.addEventListener("message", ({ data }) => {
    const message = data as ClientMessage;
    if ("hello" in message) send({ hello: PROTOCOL_VERSION });
    else if ("cancel" in message) running.get(message.id)?.abort(new AbortError(message.cancel));
    else void run(message.id, message.method, message.args);
  });
  port.start?.();
  return (error) => {
    for (const controller of running.values()) controller.abort(error);
  };
}
