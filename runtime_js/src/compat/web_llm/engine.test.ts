import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Engine, type EngineOptions, ModelNotFound, ModelNotLoaded } from "../../index.js";
import { dawn } from "../../testing/host.js";
import { tinyPack } from "../../testing/tiny_pack.js";
import { MLCEngine, modelVersion, prebuiltAppConfig } from "./index.js";
import { toRequest } from "./request.js";
import type {
  ChatCompletionChunk,
  ChatCompletionRequestStreaming,
  InitProgressReport,
  ResponseFormat,
} from "./types.js";

const messages = [{ role: "user" as const, content: "hi" }];

/** No token ends the answer. */
const NO_END = { ignore_eos: true };

/** In this thread, as Node has no workers of the web. */
class Here extends MLCEngine {
  protected override async load(url: string, options: EngineOptions): Promise<Engine> {
    return Engine.load(url, { ...options, worker: false, gpu: await dawn() });
  }
}

let folder: string;
let engine: Here;
const reports: InitProgressReport[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "pack-"));
  for (const [name, bytes] of tinyPack()) writeFileSync(join(folder, name), bytes);
  const model_list = ["one", "two"].map((model_id) => ({ model_id, model: folder }));
  engine = new Here({
    appConfig: { model_list },
    initProgressCallback: (report) => reports.push(report),
  });
  await engine.reload("one", { temperature: 0 });
});

afterAll(async () => {
  await engine.unload();
  rmSync(folder, { recursive: true });
});

async function read(request: Omit<ChatCompletionRequestStreaming, "stream">) {
  const chunks: ChatCompletionChunk[] = [];
  for await (const chunk of await engine.chat.completions.create({ ...request, stream: true }))
    chunks.push(chunk);
  return chunks;
}

describe("an engine of WebLLM's interface", () => {
  test("tells the load's progress, 1 once the model is ready", () => {
    const shares = reports.map(({ progress }) => progress);
    expect(shares.at(-1)).toBe(1);
    expect(shares.filter((share) => share === 1)).toHaveLength(1);
    expect(shares).toEqual(shares.toSorted((a, b) => a - b));
    expect(reports.at(-1)?.text).toMatch(/^one: ready/);
  });

  test("answers whole and streamed alike, and remembers the text", async () => {
    const whole = await engine.chat.completions.create({ messages, max_tokens: 6, logprobs: true });
    expect(whole.object).toBe("chat.completion");
    expect(whole.usage.completion_tokens).toBe(6);
    expect(whole.usage.extra.e2e_latency_s).toBeGreaterThan(0);
    expect(whole.choices[0]?.finish_reason).toBe("length");
    expect(whole.choices[0]?.logprobs?.content).toHaveLength(6);
    const { content } = whole.choices[0]?.message ?? {};
    expect(await engine.getMessage()).toBe(content);

    const chunks = await read({ messages, max_tokens: 6, stream_options: { include_usage: true } });
    const texts = chunks.map((c) => c.choices[0]?.delta.content ?? "");
    expect(texts.join("")).toBe(content);
    expect(chunks.at(-1)?.choices).toEqual([]);
    expect(chunks.at(-1)?.usage?.completion_tokens).toBe(6);
    expect(await engine.getMessage("one")).toBe(content);
    expect(await engine.runtimeStatsText()).toMatch(/decoding: [\d.]+ tokens\/sec/);

    const bare = await read({ messages, max_tokens: 6 });
    expect(bare.some((chunk) => "usage" in chunk)).toBe(false);
  });

  test("gives as many choices as asked for", async () => {
    const { choices } = await engine.chatCompletion({ messages, n: 3, max_tokens: 4 });
    expect(choices.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(new Set(choices.map(({ message }) => message.content)).size).toBe(1); // greedy
  });

  test("goes on with a text: whole, streamed, and with log-probabilities as those of chats", async () => {
    const request = { prompt: "one two", max_tokens: 6, logprobs: true, top_logprobs: 2 };
    const whole = await engine.completions.create(request);
    expect(whole.object).toBe("text_completion");
    expect(whole.usage?.completion_tokens).toBe(6);
    expect(whole.usage?.extra.e2e_latency_s).toBeGreaterThan(0);
    const [choice] = whole.choices;
    expect(choice?.finish_reason).toBe("length");
    const logprobs = choice?.logprobs?.content ?? [];
    expect(logprobs).toHaveLength(6);
    for (const { token, logprob, bytes, top_logprobs } of logprobs) {
      expect(top_logprobs).toHaveLength(2);
      expect(top_logprobs[0]).toEqual({ token, logprob, bytes }); // greedy
    }
    expect(await engine.getMessage()).toBe(choice?.text);

    let text = "";
    const usages: unknown[] = [];
    const options = { stream: true, stream_options: { include_usage: true } } as const;
    for await (const part of await engine.completion({ ...request, ...options })) {
      text += part.choices[0]?.text ?? "";
      usages.push(part.usage?.completion_tokens);
    }
    expect(text).toBe(choice?.text);
    expect(usages.at(-1)).toBe(6);
    const echoed = await engine.completions.create({
      prompt: "one two",
      echo: true,
      max_tokens: 2,
    });
    expect(echoed.choices[0]?.text).toMatch(/^one two/);

    // Without a limit the context is one; an interruption keeps what has come.
    const endless = await engine.completion({ prompt: "one", stream: true, ...NO_END });
    const reasons: unknown[] = [];
    for await (const { choices } of endless) {
      reasons.push(choices[0]?.finish_reason);
      if (choices[0]?.text) engine.interruptGenerate();
    }
    expect(reasons.at(-1)).toBe("abort");
  });

  test("an interruption keeps what has come, and the next request is whole", async () => {
    const request = { messages, max_tokens: 60 };
    const stream = await engine.chat.completions.create({
      ...request,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks: ChatCompletionChunk[] = [];
    for await (const chunk of stream) {
      chunks.push(chunk);
      if (chunk.choices[0]?.delta.content) engine.interruptGenerate();
    }
    const text = await engine.getMessage();
    expect(text).not.toBe("");
    expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe("abort");
    expect(chunks.at(-1)?.usage?.completion_tokens).toBeLessThan(60);

    const under = engine.chat.completions.create({ ...request, stream: false });
    engine.interruptGenerate();
    const { choices, usage } = await under;
    expect(choices[0]?.finish_reason).toBe("abort");
    expect(usage.completion_tokens).toBeLessThan(60);

    const next = await engine.chat.completions.create({ messages, max_tokens: 6 });
    expect(next.choices[0]?.finish_reason).toBe("length");
    await engine.resetChat();
    expect(await engine.getMessage()).toBe("");
  });

  test("refuses by name what it can't do", async () => {
    await expect(engine.forwardTokensAndSample()).rejects.toMatchObject({ name: "Unsupported" });
    const logitProcessorRegistry = new Map([["one", {}]]);
    expect(() => new MLCEngine({ logitProcessorRegistry })).toThrow(/logit_bias/);
    const options = { conv_template: {} } as object;
    await expect(engine.reload("one", options)).rejects.toMatchObject({
      name: "Unsupported",
      data: { param: "conv_template" },
    });
    await expect(engine.reload("three")).rejects.toBeInstanceOf(ModelNotFound);
    await expect(engine.reload(["one", "one"])).rejects.toThrow(/twice/);
    await expect(engine.reload(["one", "two"], [{}])).rejects.toThrow(/2 models and 1/);
    // Nothing was unloaded by what was refused.
    expect(await engine.getMaxStorageBufferBindingSize()).toBeGreaterThanOrEqual(2 ** 27);
    expect(typeof (await engine.getGPUVendor())).toBe("string");
  });

  test("of several models a request names one; an unload ends a reload without an error", async () => {
    const both = new Here({ appConfig: { model_list: [{ model_id: "one", model: folder }] } });
    await expect(both.getMessage()).rejects.toBeInstanceOf(ModelNotLoaded);
    both.setAppConfig({
      model_list: ["one", "two"].map((model_id) => ({
        model_id,
        model: folder,
        model_lib: "ignored.wasm",
        overrides: { context_window_size: 32, temperature: 0 },
      })),
    });
    await both.reload(["one", "two"]);
    const request = { messages, max_tokens: 4 };
    await expect(both.chatCompletion(request)).rejects.toThrow(/one, two/);
    await expect(both.chatCompletion({ ...request, model: "x" })).rejects.toThrow(
      /x is not loaded/,
    );
    const answers = await Promise.all(
      ["one", "two"].map((model) => both.chatCompletion({ ...request, model })),
    );
    expect(answers[0]?.choices[0]?.message).toEqual(answers[1]?.choices[0]?.message);

    const reloading = both.reload("one");
    await Promise.resolve();
    await both.unload();
    await reloading;
    await expect(both.getMessage()).rejects.toBeInstanceOf(ModelNotLoaded);
  });

  test("has WebLLM's constants", () => {
    expect(prebuiltAppConfig.model_list).toEqual([]);
    expect(typeof modelVersion).toBe("string");
  });
});

describe("WebLLM's extras", () => {
  test("go under one key", () => {
    const request = {
      messages,
      model: "one",
      repetition_penalty: 1.2,
      ignore_eos: true,
      extra_body: { enable_thinking: false, enable_latency_breakdown: true },
      top_p: 0.5,
    };
    expect(toRequest(request, { temperature: 0.3, top_p: 0.9, slide: true })).toEqual({
      messages,
      temperature: 0.3,
      top_p: 0.5,
      webbuild: {
        context: { overflow: "slide" },
        repetition_penalty: 1.2,
        ignore_eos: true,
        template: { enable_thinking: false },
      },
      stream: true,
      stream_options: { include_usage: true },
    });
    expect(toRequest({ messages }, {})).not.toHaveProperty("webbuild");
  });

  test("a schema as text is a JSON schema", () => {
    const schema = { type: "object", properties: { n: { type: "integer" } } };
    const asked = (response_format: ResponseFormat) => toRequest({ messages, response_format }, {});
    expect(asked({ type: "json_object", schema: JSON.stringify(schema) })).toMatchObject({
      response_format: { type: "json_schema", json_schema: { schema, strict: true } },
    });
    expect(asked({ type: "json_object" })).toMatchObject({
      response_format: { type: "json_object" },
    });
    expect(() => asked({ type: "json_object", schema: "{" })).toThrow(/JSON text/);
    expect(() => asked({ type: "grammar", schema: "{}" })).toThrow(/json_object/);
  });

  test("a structural tag comes as an object, or as text", () => {
    const format = { type: "any_text" };
    const asked = (response_format: ResponseFormat) => toRequest({ messages, response_format }, {});
    const expected = { response_format: { type: "structural_tag", format } };
    for (const structural_tag of [{ format }, JSON.stringify({ type: "structural_tag", format })]) {
      expect(asked({ type: "structural_tag", structural_tag })).toMatchObject(expected);
    }
    expect(() => asked({ type: "structural_tag", structural_tag: "{" })).toThrow(/JSON text/);
    expect(() => asked({ type: "text", structural_tag: {} })).toThrow(/structural_tag/);
  });
});
