/** Conversations that are longer than the context, through the package's API on Dawn. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  AbortError,
  type ChatCompletionChunk,
  type ChatCompletionMessageParam,
  ContextLengthExceeded,
  Engine,
  InvalidRequestError,
  type Summarise,
} from "../index.js";
import { prefillDecode, Router } from "../router/index.js";
import { dawn } from "../testing/host.js";
import { tinyPack } from "../testing/tiny_pack.js";

const CONTEXT = 64;

let folder: string;
let engine: Engine;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "pack-"));
  for (const [name, bytes] of tinyPack(CONTEXT)) writeFileSync(join(folder, name), bytes);
  engine = await Engine.load(folder, { worker: false, gpu: await dawn() });
});

afterAll(async () => {
  await engine.unload();
  rmSync(folder, { recursive: true });
});

const short: ChatCompletionMessageParam[] = [{ role: "user", content: "hi" }];
const long: ChatCompletionMessageParam[] = [
  { role: "user", content: "a question" },
  { role: "assistant", content: "an answer of some length" },
  { role: "user", content: "and?" },
];
const create = (
  params: Parameters<typeof engine.chat.completions.create>[0],
  signal?: AbortSignal,
) => engine.chat.completions.create(params, { ...(signal && { signal }) });

describe("context: { overflow }", () => {
  test("error, the default: a prompt that is too long is refused, a full context ends the answer", async () => {
    for (const context of [undefined, null, { overflow: "error" as const }]) {
      const more = { webbuild: { ...(context === undefined ? {} : { context }) } };
      await expect(create({ messages: long, ...more })).rejects.toThrow(ContextLengthExceeded);
      const answer = await engine.chat.completions.create({ messages: short, ...more });
      expect(answer.usage.total_tokens).toBe(CONTEXT);
      expect(answer.usage.context).toBeUndefined();
      expect(answer.choices[0]?.finish_reason).toBe("length");
    }
  });

  test("slide: turns are dropped, an answer may be longer than the context, and usage tells both", async () => {
    const context = { overflow: "slide" as const };
    const cut = await engine.chat.completions.create({
      messages: long,
      webbuild: { context },
      max_tokens: 5,
    });
    const asked = await engine.countTokens([long[2] as ChatCompletionMessageParam]);
    expect(cut.usage).toMatchObject({
      prompt_tokens: asked,
      completion_tokens: 5,
      total_tokens: asked + 5,
      context: { dropped_messages: 2, slides: 0 },
    });
    const params = { messages: short, webbuild: { context }, max_completion_tokens: 150 };
    const { usage, choices } = await engine.chat.completions.create(params);
    expect(usage).toMatchObject({
      completion_tokens: 150,
      total_tokens: 160,
      context: { dropped_messages: 0, slides: 4 },
    });
    // A stream is the same text, without a gap.
    const stream = await engine.chat.completions.create({
      ...params,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks: ChatCompletionChunk[] = [];
    for await (const chunk of stream) chunks.push(chunk);
    const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
    expect(text).toBe(choices[0]?.message.content);
    const { prompt_tokens_details: _, ...counts } = usage;
    expect(chunks.at(-1)?.usage).toMatchObject(counts);
  });

  test("slide: each of several choices slides by itself, as it would alone", async () => {
    const context = { overflow: "slide" as const };
    const params = {
      messages: short,
      webbuild: { context },
      max_tokens: 120,
      temperature: 1,
      seed: 5,
    };
    const { choices, usage } = await engine.chat.completions.create({ ...params, n: 3 });
    for (const [i, { message }] of choices.entries()) {
      const alone = await engine.chat.completions.create({ ...params, seed: 5 + i });
      expect(message).toEqual(alone.choices[0]?.message);
      expect(alone.usage.context?.slides).toBe(3);
    }
    expect(usage).toMatchObject({ completion_tokens: 360, context: { slides: 9 } });
  });

  test.each([
    [{}, "webbuild.context.overflow"],
    [{ overflow: "drop" }, "webbuild.context.overflow"],
    [{ overflow: "slide", sinks: 4 }, "webbuild.context.sinks"],
    ["slide", "webbuild.context"],
  ])("%j is refused, with the parameter's name", async (context, param) => {
    const asked = create({ messages: short, webbuild: { context: context as never } });
    await expect(asked).rejects.toMatchObject({ name: "InvalidRequestError", data: { param } });
  });
});

describe("context: { overflow: summarise }", () => {
  const ask = (overflow: Summarise, signal?: AbortSignal) =>
    create(
      { messages: long, webbuild: { context: { overflow } }, max_tokens: 6, temperature: 0 },
      signal,
    );

  test("is asked when the prompt does not fit, may ask the engine, and its messages are answered", async () => {
    const asked: unknown[] = [];
    const summarise: Summarise = async (messages, { signal, ...about }) => {
      asked.push({ messages, about });
      const summary = await engine.chat.completions.create(
        { messages: messages.slice(0, 1), max_tokens: 3 },
        { signal },
      );
      expect(summary.usage.completion_tokens).toBe(3);
      return short;
    };
    const answer = await ask(summarise);
    const { choices } = await engine.chat.completions.create({
      messages: short,
      max_tokens: 6,
      temperature: 0,
    });
    expect(answer).toMatchObject({ choices });
    const tokens = await engine.countTokens(long);
    const about = { tokens, limit: CONTEXT - 6, contextLength: CONTEXT };
    expect(asked).toEqual([{ messages: long, about }]);
    // Streams and several choices: once for all of them.
    const stream = await engine.chat.completions.create({
      messages: long,
      webbuild: { context: { overflow: summarise } },
      n: 3,
      stream: true,
      max_tokens: 2,
    });
    const roles: number[] = [];
    for await (const { choices } of stream) {
      for (const { index, delta } of choices) if (delta.role) roles.push(index);
    }
    expect(roles.sort()).toEqual([0, 1, 2]);
    expect(asked).toHaveLength(2);
  });

  test("is not asked when there is room", async () => {
    const never: Summarise = () => {
      throw new Error("asked");
    };
    const answer = await create({
      messages: short,
      webbuild: { context: { overflow: never } },
      max_tokens: 2,
    });
    expect(answer).toMatchObject({ usage: { completion_tokens: 2 } });
  });

  test("what does not fit either is refused, as is what is no conversation; its errors are the request's", async () => {
    let asked = 0;
    const again = ask((messages) => {
      asked++;
      return messages;
    });
    await expect(again).rejects.toThrow(ContextLengthExceeded);
    expect(asked).toBe(1);
    const nothing = ask((() => undefined) as unknown as Summarise);
    await expect(nothing).rejects.toMatchObject({
      name: "InvalidRequestError",
      data: { param: "webbuild.context.overflow()" },
    });
    const own = new TypeError("no summary today");
    await expect(ask(() => Promise.reject(own))).rejects.toBe(own);
    await expect(
      ask(() => {
        throw own;
      }),
    ).rejects.toBe(own);
    await expect(
      engine.startGenerate("x".repeat(CONTEXT), {
        webbuild: { context: { overflow: () => short } },
      }),
    ).rejects.toThrow(InvalidRequestError);
  });

  test("an abort ends the request while it is asked, and before", async () => {
    const controller = new AbortController();
    let told: AbortSignal | undefined;
    const hangs: Summarise = (_, { signal }) => {
      told = signal;
      setTimeout(() => controller.abort(), 5);
      return new Promise(() => {});
    };
    await expect(ask(hangs, controller.signal)).rejects.toThrow(AbortError);
    expect(told?.aborted).toBe(true);
    let asked = false;
    const asks: Summarise = () => {
      asked = true;
      return short;
    };
    await expect(ask(asks, AbortSignal.abort())).rejects.toThrow(AbortError);
    expect(asked).toBe(false);
  });
});

test("a router has an engine answer what does not fit to be split", async () => {
  const other = await Engine.load(folder, { worker: false, gpu: await dawn() });
  try {
    const router = new Router([engine, other], prefillDecode({ long: 1 }));
    const split = (context?: { overflow: "slide" | Summarise }) =>
      router.chat.completions.create({
        messages: long,
        max_tokens: 5,
        webbuild: context ? { context } : {},
      });
    await expect(split()).rejects.toThrow(ContextLengthExceeded);
    expect((await split({ overflow: "slide" })).usage.context?.dropped_messages).toBe(2);
    const summarised = await split({ overflow: () => short });
    expect(summarised.usage.prompt_tokens).toBe(await engine.countTokens(short));
    let asked = 0;
    const inVain: Summarise = (messages) => {
      asked++;
      return messages;
    };
    await expect(split({ overflow: inVain })).rejects.toThrow(ContextLengthExceeded);
    expect(asked).toBe(1);
  } finally {
    await other.unload();
  }
});
