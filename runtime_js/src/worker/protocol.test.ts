import { afterEach, describe, expect, test } from "vitest";
import * as errors from "../errors.js";
import { connectClient } from "./client.js";
import { dispatch, type Handlers } from "./dispatch.js";
import type { Port } from "./protocol.js";

const open: MessagePort[] = [];
afterEach(() => {
  for (const port of open.splice(0)) port.close();
});

const never = new Promise<never>(() => {});

/** A client connected over a real MessageChannel to these handlers. */
async function connected(handlers: Partial<Handlers>) {
  const { port1, port2 } = new MessageChannel();
  open.push(port1, port2);
  dispatch(port2 as Port, handlers as Handlers);
  return connectClient(port1 as Port, never);
}

describe("the worker protocol", () => {
  test("calls cross with arguments and results, many at once", async () => {
    const { call } = await connected({ tokenize: async (text) => [...text].map(Number) });
    expect(await Promise.all(["12", "3", ""].map((t) => call.tokenize(t)))).toEqual([
      [1, 2],
      [3],
      [],
    ]);
  });

  test("events arrive in order, before the result", async () => {
    const { call } = await connected({
      async generate(_, { emit }) {
        for (let i = 0; i < 5; i++) emit({ kind: "accepted", promptTokens: i, fingerprint: "f" });
        return {
          finishReason: "stop",
          promptTokens: 0,
          completionTokens: 5,
          cachedTokens: 0,
          droppedMessages: 0,
          slides: 0,
        };
      },
    });
    const seen: unknown[] = [];
    await call.generate({} as never, { onEvent: (e) => seen.push(e) });
    expect(seen).toEqual(
      [0, 1, 2, 3, 4].map((promptTokens) => ({ kind: "accepted", promptTokens, fingerprint: "f" })),
    );
  });

  test("every error arrives as an instance of its class, with its data", async () => {
    const classes = Object.values(errors).filter(
      (e): e is typeof errors.WebbuildError =>
        typeof e === "function" &&
        (e === errors.WebbuildError || e.prototype instanceof errors.WebbuildError),
    );
    expect(classes.length).toBeGreaterThan(15);
    for (const Class of classes) {
      const { call } = await connected({
        stats() {
          throw new Class("said", { param: "p", n: 1 });
        },
      });
      const error = await call.stats(null).catch((e: unknown) => e);
      expect(error).toBeInstanceOf(Class);
      expect(error).toMatchObject({
        name: Class.className,
        message: "said",
        data: { param: "p", n: 1 },
      });
    }
  });

  test("a foreign error keeps its name; what is no error becomes one", async () => {
    const thrown: unknown[] = [new RangeError("r"), "text"];
    const { call } = await connected({
      stats() {
        throw thrown.shift();
      },
    });
    await expect(call.stats(null)).rejects.toMatchObject({ name: "RangeError", message: "r" });
    await expect(call.stats(null)).rejects.toMatchObject({ name: "Error", message: "text" });
  });

  test("cancelling aborts the handler's signal and nobody else's", async () => {
    const { call } = await connected({
      generate: (_, { signal }) =>
        new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
      tokenize: () => [1],
    });
    const controller = new AbortController();
    const running = call.generate({} as never, { signal: controller.signal });
    controller.abort();
    await expect(running).rejects.toBeInstanceOf(errors.AbortError);
    expect(await call.tokenize("x")).toEqual([1]);
    await expect(call.generate({} as never, { signal: controller.signal })).rejects.toBeInstanceOf(
      errors.AbortError,
    );
  });

  test("closing rejects what is under way and what comes later", async () => {
    const { call, close } = await connected({ stats: () => new Promise(() => {}) });
    const waiting = call.stats(null);
    close(new errors.EngineUnloaded("gone"));
    await expect(waiting).rejects.toBeInstanceOf(errors.EngineUnloaded);
    await expect(call.stats(null)).rejects.toBeInstanceOf(errors.EngineUnloaded);
  });

  test("another version is refused by name at the handshake", async () => {
    const { port1, port2 } = new MessageChannel();
    open.push(port1, port2);
    port2.addEventListener("message", () => port2.postMessage({ hello: 99 }));
    port2.start();
    await expect(connectClient(port1 as Port, never)).rejects.toBeInstanceOf(
      errors.ProtocolMismatch,
    );
  });

  test("a worker that fails before it says hello rejects the connection", async () => {
    const { port1, port2 } = new MessageChannel();
    open.push(port1, port2);
    const failed = Promise.reject(new errors.WorkerFailed("no script"));
    await expect(connectClient(port1 as Port, failed as Promise<never>)).rejects.toBeInstanceOf(
      errors.WorkerFailed,
    );
  });
});
