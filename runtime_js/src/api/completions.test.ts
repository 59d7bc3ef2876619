/** Text completions, models and tokens through the package's API, on the tiny pack. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type CompletionChunk,
  type CompletionCreateParamsNonStreaming,
  Engine,
  ModelNotFound,
} from "../index.js";
import { dawn } from "../testing/host.js";
import { nextToken, replaceFile, replaceJson, tinyPack } from "../testing/tiny_pack.js";

const PREFIX = 258;
const SUFFIX = 259;

let folder: string;
let engine: Engine;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "pack-"));
  const pack = tinyPack(128);
  // Of Codestral's kind, with a template that knows thinking.
  replaceJson(pack, "tokenizer.json", (json) => {
    const [like] = json.added_tokens;
    json.added_tokens.push({ ...like, id: PREFIX, content: "[PREFIX]" });
    json.added_tokens.push({ ...like, id: SUFFIX, content: "[SUFFIX]" });
  });
  const template = "{{ 'thinks ' if enable_thinking }}{{ messages[0].content }}";
  replaceFile(pack, "chat_template.jinja", new TextEncoder().encode(template));
  for (const [name, bytes] of pack) writeFileSync(join(folder, name), bytes);
  engine = await Engine.load(folder, { worker: false, gpu: await dawn() });
});

afterAll(async () => {
  await engine.unload();
  rmSync(folder, { recursive: true });
});

const create = (params: CompletionCreateParamsNonStreaming) => engine.completions.create(params);

/** The twin: greedy tokens after a prompt. */
function continued(prompt: readonly number[], count: number): number[] {
  const tokens = [...prompt];
  for (let i = 0; i < count; i++) tokens.push(nextToken(tokens));
  return tokens.slice(prompt.length);
}

const bytes = (text: string) => [...new TextEncoder().encode(text)];
const textOf = (tokens: readonly number[]) =>
  new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(tokens), { stream: true });

async function collect(params: Omit<CompletionCreateParamsNonStreaming, "stream">) {
  const chunks: CompletionChunk[] = [];
  const stream = await engine.completions.create({
    ...params,
    stream: true,
    stream_options: { include_usage: true },
  });
  for await (const chunk of stream) chunks.push(chunk);
  const of = (index: number) =>
    chunks.flatMap(({ choices }) => choices).filter((choice) => choice.index === index);
  return { chunks, of };
}

describe("completions.create", () => {
  test("goes on with a text, without a template: 16 tokens unless it says", async () => {
    const answer = await create({ prompt: "ab", model: "gpt-3.5-turbo-instruct", user: "me" });
    expect(answer).toMatchObject({
      object: "text_completion",
      model: "tiny",
      choices: [{ index: 0, logprobs: null, finish_reason: "length" }],
      usage: { prompt_tokens: 2, completion_tokens: 16, total_tokens: 18 },
    });
    expect(answer.choices[0]?.text).toBe(textOf(continued(bytes("ab"), 16)));
    expect(answer.id).toMatch(/^cmpl-/);
    expect(answer.system_fingerprint).toMatch(/^fp_[0-9a-f]{10}$/);
  });

  test("several prompts, texts or tokens, n answers each, whole and streamed", async () => {
    const params = { prompt: ["ab", "xyz"], n: 2, max_tokens: 6, temperature: 1, seed: 4 };
    const whole = await create(params);
    expect(whole.choices.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    expect(whole.usage).toMatchObject({ prompt_tokens: 5, completion_tokens: 24 });
    const { chunks, of } = await collect(params);
    for (const { index, text } of whole.choices) {
      const prompt = params.prompt[index >> 1] as string;
      const alone = await create({ ...params, prompt, n: 1, seed: 4 + (index % 2) });
      expect(text).toBe(alone.choices[0]?.text);
      expect(
        of(index)
          .map((c) => c.text)
          .join(""),
      ).toBe(text);
      const reasons = of(index).map((c) => c.finish_reason);
      expect(reasons).toEqual([...Array(reasons.length - 1).fill(null), "length"]);
    }
    expect(chunks.at(-1)?.choices).toEqual([]);
    expect(chunks.at(-1)?.usage).toMatchObject({ prompt_tokens: 5, completion_tokens: 24 });
    expect(chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
    const tokens = await create({ ...params, prompt: params.prompt.map(bytes) });
    expect(tokens.choices).toEqual(whole.choices);
    const one = await create({ ...params, prompt: bytes("ab") });
    expect(one.choices).toEqual(whole.choices.slice(0, 2));
  });

  test("echo begins with the prompt, a text or tokens", async () => {
    const plain = await create({ prompt: "ab", max_tokens: 5 });
    const text = `ab${plain.choices[0]?.text}`;
    for (const prompt of ["ab", bytes("ab")]) {
      const echoed = await create({ prompt, max_tokens: 5, echo: true });
      expect(echoed.choices[0]?.text).toBe(text);
      const { of } = await collect({ prompt, max_tokens: 5, echo: true });
      expect(of(0)[0]).toMatchObject({ text: "ab", finish_reason: null });
      expect(
        of(0)
          .map((c) => c.text)
          .join(""),
      ).toBe(text);
    }
  });

  test("log-probabilities in the old shape, greedy too", async () => {
    const params = { prompt: "ab", max_tokens: 12, logprobs: 3 };
    const { text, logprobs } = (await create(params)).choices[0] ?? {};
    const tokens = continued(bytes("ab"), 12);
    expect(logprobs?.tokens).toHaveLength(12);
    expect(logprobs?.token_logprobs).toHaveLength(12);
    logprobs?.tokens.forEach((name, i) => {
      const byte = tokens[i] as number;
      const escaped = `bytes:\\x${byte.toString(16).padStart(2, "0")}`;
      expect(name).toBe(byte < 0x80 ? String.fromCharCode(byte) : escaped);
      const top = logprobs.top_logprobs[i] ?? {};
      expect(Object.keys(top).length).toBeGreaterThanOrEqual(3);
      expect(Object.keys(top).length).toBeLessThanOrEqual(4);
      expect(top[name]).toBe(logprobs.token_logprobs[i]);
      expect(Math.max(...Object.values(top))).toBe(top[name]); // greedy: the likeliest
      expect(logprobs.text_offset[i]).toBe(textOf(tokens.slice(0, i)).length);
    });
    const { of } = await collect(params);
    const streamed = of(0).flatMap((c) => c.logprobs ?? []);
    expect(streamed.flatMap((l) => l.tokens)).toEqual(logprobs?.tokens);
    expect(streamed.flatMap((l) => l.text_offset)).toEqual(logprobs?.text_offset);
    expect(
      of(0)
        .map((c) => c.text)
        .join(""),
    ).toBe(text);
    const none = await create({ ...params, logprobs: 0 });
    const [top] = none.choices[0]?.logprobs?.top_logprobs ?? [];
    expect(Object.keys(top ?? {})).toHaveLength(1);
  });

  test("suffix: the model fills in the middle", async () => {
    const { choices, usage } = await create({ prompt: "ab", suffix: "cd", max_tokens: 8 });
    const prompt = [SUFFIX, ...bytes("cd"), PREFIX, ...bytes("ab")];
    expect(choices[0]?.text).toBe(textOf(continued(prompt, 8)));
    expect(usage.prompt_tokens).toBe(6);
    const echoed = await create({ prompt: "ab", suffix: "cd", max_tokens: 8, echo: true });
    expect(echoed.choices[0]?.text).toBe(`ab${choices[0]?.text}`);
  });

  test("sampling settings and extensions are those of chats", async () => {
    const ask = (seed: number, more = {}) => create({ prompt: "q", temperature: 1, seed, ...more });
    const text = async (answer: ReturnType<typeof ask>) => (await answer).choices[0]?.text;
    expect(await text(ask(3))).toBe(await text(ask(3)));
    expect(await text(ask(3))).not.toBe(await text(ask(4)));
    const biased = await create({ prompt: "q", max_tokens: 3, logit_bias: { "65": 100 } });
    expect(biased.choices[0]?.text).toBe("AAA");
    const webbuild = { context: { overflow: "slide" as const } };
    const slid = await create({ prompt: "q", max_tokens: 200, webbuild });
    expect(slid.usage.completion_tokens).toBe(200);
  });

  test.each([
    [{}, "prompt"],
    [{ prompt: "" }, "prompt"],
    [{ prompt: [] }, "prompt"],
    [{ prompt: ["a", 1] }, "prompt[1]"],
    [{ prompt: [1, "a"] }, "prompt"],
    [{ prompt: [1, -1] }, "prompt"],
    [{ prompt: [[1.5]] }, "prompt[0]"],
    [{ prompt: [400] }, "prompt"],
    [{ prompt: "a".repeat(128) }, "prompt"],
    [{ prompt: Array(100).fill("a"), n: 100 }, "prompt"],
    [{ prompt: "a", best_of: 2 }, "best_of"],
    [{ prompt: "a", echo: true, logprobs: 1 }, "echo"],
    [{ prompt: "a", logprobs: 6 }, "logprobs"],
    [{ prompt: "a", logprobs: true }, "logprobs"],
    [{ prompt: "a", max_tokens: 0 }, "max_tokens"],
    [{ prompt: "a", suffix: 5 }, "suffix"],
    [{ prompt: "a", top_k: 5 }, "top_k"],
    [{ prompt: "a", messages: [] }, "messages"],
    [{ prompt: "a", webbuild: { template: {} } }, "webbuild.template"],
    [{ prompt: "a", webbuild: { constrain_tools: true } }, "webbuild.constrain_tools"],
    [{ prompt: "a", webbuild: { context: { overflow: () => [] } } }, "webbuild.context.overflow"],
  ])("%j is refused, with the parameter's name", async (params, param) => {
    for (const stream of [false, true]) {
      const asked = engine.completions.create({ ...params, stream } as never);
      await expect(asked).rejects.toMatchObject({ data: { param } });
    }
  });

  test("one bad prompt of several refuses all of them, streamed or not", async () => {
    for (const stream of [false, true]) {
      const asked = engine.completions.create({ prompt: ["a", "b".repeat(200)], stream } as never);
      await expect(asked).rejects.toMatchObject({ name: "ContextLengthExceeded" });
    }
    const { running, waiting } = await engine.stats();
    expect({ running, waiting }).toEqual({ running: 0, waiting: 0 });
  });
});

test("models: the loaded one, to be awaited or read in a loop, and no other", async () => {
  const { object, data } = await engine.models.list();
  expect(object).toBe("list");
  expect(data).toMatchObject([{ id: "tiny", object: "model", owned_by: "webbuild" }]);
  const read: string[] = [];
  for await (const { id } of engine.models.list()) read.push(id);
  for await (const { id } of await engine.models.list()) read.push(id);
  expect(read).toEqual(["tiny", "tiny"]);
  expect(await engine.models.retrieve("tiny")).toEqual(data[0]);
  const other = engine.models.retrieve("gpt-4o");
  await expect(other).rejects.toBeInstanceOf(ModelNotFound);
  await expect(other).rejects.toMatchObject({ param: "model", data: { model: "gpt-4o" } });
});

test("tokens of texts and texts of tokens, and how many a prompt has", async () => {
  const text = "h\u00e9\ud83d\ude00<|im_end|>[PREFIX]";
  const ids = await engine.tokenize(text);
  expect(ids).toEqual([...bytes("h\u00e9\ud83d\ude00"), 257, PREFIX]);
  expect(await engine.detokenize(ids)).toBe(text);
  expect(await engine.detokenize([])).toBe("");
  expect(await engine.detokenize([0x68, 0xc3])).toBe("h\ufffd");
  for (const bad of [[300], [-1], [1.5], "x", null]) {
    const asked = engine.detokenize(bad as never);
    await expect(asked).rejects.toMatchObject({ name: "InvalidRequestError", param: "ids" });
  }
  await expect(engine.tokenize(5 as never)).rejects.toMatchObject({ param: "text" });
  expect(await engine.countTokens(text)).toBe(ids.length);
  expect(await engine.countTokens("")).toBe(0);
  const messages = [{ role: "user" as const, content: "hi" }];
  expect(await engine.countTokens(messages)).toBe(2);
  expect(await engine.countTokens(messages, { reasoning_effort: "low" })).toBe(9);
  const template = { enable_thinking: true };
  expect(await engine.countTokens(messages, { webbuild: { template } })).toBe(9);
});

describe("settings of the chat template", () => {
  const messages = [{ role: "user" as const, content: "hi" }];
  const tokens = async (more: object) => {
    const answer = await engine.chat.completions.create({ messages, max_tokens: 1, ...more });
    return answer.usage.prompt_tokens;
  };

  test("change the prompt", async () => {
    expect(await tokens({})).toBe(2);
    expect(await tokens({ reasoning_effort: "high" })).toBe(9);
    expect(await tokens({ reasoning_effort: "none" })).toBe(2);
    expect(await tokens({ webbuild: { template: { enable_thinking: true } } })).toBe(9);
  });

  test.each([
    [{ webbuild: { template: { enable_thinkin: true } } }, "webbuild.template.enable_thinkin"],
    [{ webbuild: { template: { messages: [] } } }, "webbuild.template.messages"],
    [{ webbuild: { template: { f: () => 1 } } }, "webbuild.template.f"],
    [{ reasoning_effort: "a lot" }, "reasoning_effort"],
  ])("%j is refused by name", async (more, param) => {
    await expect(tokens(more)).rejects.toMatchObject({ data: { param } });
  });

  test("need messages", async () => {
    const begun = (more: object) => engine.startGenerate("hi", { max_tokens: 1, ...more });
    await expect(begun({ reasoning_effort: "low" })).rejects.toMatchObject({
      param: "reasoning_effort",
    });
    const template = { enable_thinking: true };
    await expect(begun({ webbuild: { template } })).rejects.toMatchObject({
      param: "webbuild.template",
    });
  });
});
