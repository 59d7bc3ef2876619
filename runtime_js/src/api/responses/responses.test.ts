import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, expectTypeOf, test } from "vitest";
import { Engine, InvalidRequestError } from "../../index.js";
import { dawn } from "../../testing/host.js";
import { tinyPack } from "../../testing/tiny_pack.js";
import { ResponseHistory } from "./history.js";
import { messagesOf } from "./input.js";
import { parseResponse, type RESPONSE_PARAMETERS } from "./params.js";
import type * as ours from "./types.js";

let folder: string;
let engine: Engine;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "pack-"));
  for (const [name, bytes] of tinyPack()) writeFileSync(join(folder, name), bytes);
  engine = await Engine.load(folder, { worker: false, gpu: await dawn() });
});

afterAll(async () => {
  await engine.unload();
  rmSync(folder, { recursive: true });
});

const ask = { input: "hi", max_output_tokens: 5, temperature: 0 } as const;

describe("the types", () => {
  test("are the `openai` package's", () => {
    type R = OpenAI.Responses.Response;
    type Params = OpenAI.Responses.ResponseCreateParams;
    type Request = Omit<ours.ResponseCreateParamsNonStreaming, "webbuild">;
    expectTypeOf<ours.ResponseObject["output"][number]>().toExtend<R["output"][number]>();
    expectTypeOf<ours.ResponseUsage>().toExtend<NonNullable<R["usage"]>>();
    expectTypeOf<ours.ResponseStreamEvent["type"]>().toExtend<
      OpenAI.Responses.ResponseStreamEvent["type"]
    >();
    expectTypeOf<Request>().toExtend<OpenAI.Responses.ResponseCreateParamsNonStreaming>();
    expectTypeOf<keyof typeof RESPONSE_PARAMETERS>().toEqualTypeOf<keyof Params>();
  });
});

describe("engine.responses", () => {
  test("says what a chat says, with its usage", async () => {
    const chat = await engine.chat.completions.create({
      messages: [{ role: "user", content: "hi" }],
      max_tokens: 5,
      temperature: 0,
    });
    const response = await engine.responses.create(ask);
    expect(response).toMatchObject({
      object: "response",
      model: "tiny",
      status: "incomplete",
      incomplete_details: { reason: "max_output_tokens" },
      output_text: chat.choices[0]?.message.content,
      usage: { input_tokens: 10, output_tokens: 5, total_tokens: 15 },
    });
  });

  test("streams the same, numbered", async () => {
    const whole = await engine.responses.create(ask);
    const stream = await engine.responses.create({ ...ask, stream: true });
    const events: ours.ResponseStreamEvent[] = [];
    for await (const event of stream) events.push(event);
    expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, i) => i));
    const last = events.at(-1);
    expect(last?.type).toBe("response.incomplete");
    expect(last && "response" in last && last.response.output_text).toBe(whole.output_text);
  });

  test("a previous response's conversation goes before the input, and is cached", async () => {
    const first = await engine.responses.create({ ...ask, instructions: "B" });
    const next = await engine.responses.create({
      ...ask,
      instructions: "B",
      previous_response_id: first.id,
      input: "?",
    });
    const same = await engine.responses.create({
      ...ask,
      instructions: "B",
      input: [
        { role: "user", content: "hi" },
        { role: "assistant", content: first.output_text },
        { role: "user", content: "?" },
      ],
    });
    expect(next.previous_response_id).toBe(first.id);
    expect(next.output_text).toBe(same.output_text);
    expect(next.usage?.input_tokens).toBe(same.usage?.input_tokens);
    expect(next.usage?.input_tokens_details.cached_tokens).toBeGreaterThanOrEqual(
      first.usage?.input_tokens ?? Number.NaN,
    );
    expect(await engine.responses.inputItems(next.id)).toHaveLength(3);
    expect((await engine.responses.retrieve(next.id)).output_text).toBe(next.output_text);
  });

  test("what is not stored, or was deleted, can't be gone on from", async () => {
    const unstored = await engine.responses.create({ ...ask, store: false });
    const deleted = await engine.responses.create(ask);
    await engine.responses.delete(deleted.id);
    for (const { id } of [unstored, deleted]) {
      const refused = await engine.responses
        .create({ ...ask, previous_response_id: id })
        .catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(InvalidRequestError);
      expect((refused as InvalidRequestError).data).toMatchObject({
        param: "previous_response_id",
      });
    }
  });

  test("an abort ends it with AbortError, streamed or not; leaving the loop ends the generation", async () => {
    const controller = new AbortController();
    const long = { ...ask, max_output_tokens: 50, webbuild: { ignore_eos: true } };
    const whole = engine.responses.create(long, { signal: controller.signal });
    const stream = await engine.responses.create(
      { ...long, stream: true },
      { signal: controller.signal },
    );
    const read = async () => {
      for await (const { type } of stream) if (type.endsWith("text.delta")) controller.abort();
    };
    await expect(read()).rejects.toMatchObject({ name: "AbortError" });
    await expect(whole).rejects.toMatchObject({ name: "AbortError" });
    const left = await engine.responses.create({ ...long, stream: true });
    for await (const _ of left) break;
    expect((await engine.stats()).running).toBe(0);
  });

  test("logprobs come with the text they belong to", async () => {
    const { output } = await engine.responses.create({
      ...ask,
      include: ["message.output_text.logprobs"],
      top_logprobs: 2,
    });
    const [item] = output;
    const logprobs = item?.type === "message" ? item.content[0]?.logprobs : undefined;
    expect(logprobs).toHaveLength(5);
    expect(logprobs?.every(({ top_logprobs }) => top_logprobs.length === 2)).toBe(true);
  });
});

describe("parseResponse", () => {
  test.each([
    [{ input: 5 }, "input"],
    [{ input: [] }, "input"],
    [{ input: [{ role: "robot", content: "" }] }, "input[0].role"],
    [{ input: [{ role: "user", content: [{ type: "input_image" }] }] }, "input[0].content[0].type"],
    [
      { input: [{ type: "function_call", call_id: "a", name: "f", arguments: "{" }] },
      "input[0].arguments",
    ],
    [{ input: [{ type: "item_reference", id: "x" }] }, "input[0].type"],
    [{ ...ask, background: true }, "background"],
    [{ ...ask, conversation: "c" }, "conversation"],
    [{ ...ask, include: ["reasoning.encrypted_content"] }, "include[0]"],
    [{ ...ask, max_output_tokens: 0 }, "max_output_tokens"],
    [{ ...ask, max_tokens: 5 }, "max_tokens"],
    [{ ...ask, top_logprobs: 2 }, "top_logprobs"],
    [{ ...ask, truncation: "middle" }, "truncation"],
    [{ ...ask, truncation: "auto", webbuild: { context: { overflow: "error" } } }, "truncation"],
    [{ ...ask, reasoning: { effort: "huge" } }, "reasoning.effort"],
    [{ ...ask, reasoning: { summary: "auto" } }, "reasoning.summary"],
    [{ ...ask, text: { verbosity: "low" } }, "text.verbosity"],
    [{ ...ask, text: { format: { type: "xml" } } }, "text.format"],
    [{ ...ask, tools: [{ type: "web_search" }] }, "tools[0].type"],
    [
      { ...ask, tools: [{ type: "function", name: "a b", parameters: null, strict: null }] },
      "tools[0].name",
    ],
    [{ ...ask, tool_choice: "required" }, "tool_choice"],
    [{ ...ask, stream_options: {} }, "stream_options"],
  ])("%j is refused for its %s", (params, param) => {
    const parse = () => parseResponse(params, new ResponseHistory());
    expect(parse).toThrow(InvalidRequestError);
    try {
      parse();
    } catch (error) {
      const { data, message } = error as InvalidRequestError;
      expect(data).toMatchObject({ param });
      expect(message.startsWith(param)).toBe(true);
    }
  });

  test("undefined is absent", () => {
    const reasoning = { effort: null, summary: undefined };
    const text = { format: { type: "text" }, other: undefined };
    const parsed = parseResponse({ input: "hi", reasoning, text }, new ResponseHistory());
    expect(parsed.chat).toEqual(parseResponse({ input: "hi" }, new ResponseHistory()).chat);
  });

  test("one assistant's turn is one message", () => {
    const call = { type: "function_call" as const, name: "f", arguments: "{}" };
    expect(
      messagesOf([
        { role: "user", content: [{ type: "input_text", text: "q" }] },
        {
          id: "r",
          type: "reasoning",
          summary: [],
          content: [{ type: "reasoning_text", text: "hm" }],
        },
        { role: "assistant", content: "a" },
        { ...call, call_id: "1" },
        { ...call, call_id: "2" },
        { type: "function_call_output", call_id: "1", output: "one" },
        {
          type: "function_call_output",
          call_id: "2",
          output: [{ type: "input_text", text: "two" }],
        },
        { ...call, call_id: "3" },
      ]),
    ).toEqual([
      { role: "user", content: "q" },
      {
        role: "assistant",
        reasoning_content: "hm",
        content: "a",
        tool_calls: ["1", "2"].map((id) => ({
          id,
          type: "function",
          function: { name: "f", arguments: "{}" },
        })),
      },
      { role: "tool", tool_call_id: "1", content: "one" },
      { role: "tool", tool_call_id: "2", content: "two" },
      {
        role: "assistant",
        content: null,
        tool_calls: [{ id: "3", type: "function", function: { name: "f", arguments: "{}" } }],
      },
    ]);
  });

  test("the history forgets what was used longest ago", () => {
    const history = new ResponseHistory();
    const response = (i: number) => ({ id: `resp_${i}`, output: [] }) as never;
    for (let i = 0; i <= ResponseHistory.LIMIT; i++) {
      if (i === 1) continue;
      history.keep(response(i), []);
    }
    history.get("resp_0");
    history.keep(response(1000), []);
    expect(() => history.get("resp_2")).toThrow(InvalidRequestError);
    expect(history.get("resp_0").items).toEqual([]);
  });
});
