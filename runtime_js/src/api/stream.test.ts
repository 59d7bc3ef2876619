import { describe, expect, test } from "vitest";
import { CompletionStream } from "./stream.js";
import type { ChatCompletionChunk } from "./types.js";

const chunk = (content: string): ChatCompletionChunk => ({
  id: "x",
  object: "chat.completion.chunk",
  created: 0,
  model: "m",
  system_fingerprint: "fp",
  choices: [{ index: 0, delta: { content }, finish_reason: null }],
});

const textOf = (c: ChatCompletionChunk) => c.choices[0]?.delta.content;

describe("CompletionStream", () => {
  test("yields chunks in order, before and after the reader came, then ends", async () => {
    const stream = new CompletionStream<ChatCompletionChunk>(new AbortController());
    stream.push(chunk("a"));
    setTimeout(() => {
      stream.push(chunk("b"));
      stream.push(chunk("c"));
      stream.end();
      stream.push(chunk("too late"));
    });
    const got: unknown[] = [];
    for await (const c of stream) got.push(textOf(c));
    expect(got).toEqual(["a", "b", "c"]);
    expect(stream.controller.signal.aborted).toBe(false);
  });

  test("an error comes after the chunks before it", async () => {
    const stream = new CompletionStream<ChatCompletionChunk>(new AbortController());
    stream.push(chunk("a"));
    stream.end(new Error("broken"));
    const reader = stream[Symbol.asyncIterator]();
    expect(textOf((await reader.next()).value as ChatCompletionChunk)).toBe("a");
    await expect(reader.next()).rejects.toThrow("broken");
  });

  test("break aborts the generation", async () => {
    const stream = new CompletionStream<ChatCompletionChunk>(new AbortController());
    stream.push(chunk("a"));
    for await (const _ of stream) break;
    expect(stream.controller.signal.aborted).toBe(true);
  });

  test("controller.abort() ends a waiting reader without an error", async () => {
    const stream = new CompletionStream<ChatCompletionChunk>(new AbortController());
    const reading = stream[Symbol.asyncIterator]().next();
    stream.controller.abort();
    expect(await reading).toEqual({ done: true, value: undefined });
  });

  test("can be read once", async () => {
    const stream = new CompletionStream<ChatCompletionChunk>(new AbortController());
    stream.end();
    for await (const _ of stream);
    await expect(stream[Symbol.asyncIterator]().next()).rejects.toThrow(/already/);
  });

  test("as bytes: JSON lines; cancelling aborts", async () => {
    const stream = new CompletionStream<ChatCompletionChunk>(new AbortController());
    stream.push(chunk("é"));
    stream.end();
    const text = await new Response(
      stream.toReadableStream() as ReadableStream<Uint8Array<ArrayBuffer>>,
    ).text();
    expect(
      text
        .trimEnd()
        .split("\n")
        .map((l) => textOf(JSON.parse(l))),
    ).toEqual(["é"]);
    const other = new CompletionStream<ChatCompletionChunk>(new AbortController());
    other.push(chunk("a"));
    const reader = other.toReadableStream().getReader();
    await reader.read();
    await reader.cancel();
    expect(other.controller.signal.aborted).toBe(true);
  });
});
