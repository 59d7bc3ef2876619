/** Items and events, from chunks as chats make them. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ChatCompletionChunk } from "../types.js";
import type { ResponseEventBody, ResponseObject } from "./types.js";
import { ResponseWriter } from "./writer.js";

type Delta = ChatCompletionChunk["choices"][number]["delta"];

const response = (): ResponseObject => ({
  id: "resp_1",
  object: "response",
  created_at: 0,
  completed_at: null,
  status: "in_progress",
  error: null,
  incomplete_details: null,
  instructions: null,
  max_output_tokens: null,
  metadata: {},
  model: "tiny",
  output: [],
  output_text: "",
  parallel_tool_calls: true,
  previous_response_id: null,
  reasoning: { effort: null },
  service_tier: "default",
  temperature: null,
  text: { format: { type: "text" } },
  tool_choice: "auto",
  tools: [],
  top_logprobs: 0,
  top_p: null,
  truncation: "disabled",
});

const chunk = (delta: Delta, finish_reason: "stop" | "length" | null = null) =>
  ({ choices: [{ index: 0, delta, finish_reason }] }) as unknown as ChatCompletionChunk;

/** The events that these deltas become, with what is random in them left out. */
function eventsOf(deltas: readonly Delta[], finish: "stop" | "length" = "stop") {
  const events: ResponseEventBody[] = [];
  const writer = new ResponseWriter(
    response(),
    (event) => events.push(structuredClone(event)),
    false,
  );
  writer.begin();
  for (const delta of deltas) writer.write(chunk(delta));
  writer.write(chunk({}, finish));
  writer.end();
  return { events, response: writer.response };
}

/** What a client that reads nothing but the events puts together. */
function replay(events: readonly ResponseEventBody[]): unknown[] {
  const output: unknown[] = [];
  const open: { content?: { text: string }[]; arguments?: string }[] = [];
  for (const event of events) {
    if (event.type === "response.output_item.added") {
      open[event.output_index] = structuredClone(event.item) as never;
    } else if (event.type === "response.content_part.added") {
      open[event.output_index]?.content?.push(structuredClone(event.part));
    } else if (
      event.type === "response.output_text.delta" ||
      event.type === "response.reasoning_text.delta"
    ) {
      const part = open[event.output_index]?.content?.[event.content_index];
      if (part) part.text += event.delta;
    } else if (event.type === "response.function_call_arguments.delta") {
      const item = open[event.output_index];
      if (item) item.arguments += event.delta;
    } else if (event.type === "response.output_item.done") {
      const { status } = event.item;
      output[event.output_index] = { ...open[event.output_index], status };
      expect(output[event.output_index]).toEqual(event.item);
    }
  }
  return output;
}

const call = (index: number, id: string | undefined, args: string): Delta => ({
  tool_calls: [
    {
      index,
      ...(id ? { id, type: "function" as const } : {}),
      function: { ...(id ? { name: `f${id}` } : {}), arguments: args },
    },
  ],
});

describe("ResponseWriter", () => {
  test("thinking, text and calls are items of their own, told in order", () => {
    const { events, response } = eventsOf([
      { role: "assistant", content: "" },
      { reasoning_content: "hm" },
      { reasoning_content: "m" },
      { content: "Hello" },
      { content: " there" },
      call(0, "a", ""),
      call(0, undefined, '{"x":'),
      call(0, undefined, "1}"),
      call(1, "b", ""),
      call(1, undefined, "{}"),
    ]);
    expect(response).toMatchObject({
      status: "completed",
      output_text: "Hello there",
      output: [
        { type: "reasoning", content: [{ text: "hmm" }] },
        { type: "message", role: "assistant", content: [{ text: "Hello there" }] },
        { type: "function_call", call_id: "a", name: "fa", arguments: '{"x":1}' },
        { type: "function_call", call_id: "b", name: "fb", arguments: "{}" },
      ],
    });
    expect(events.map(({ type }) => type.replace("response.", ""))).toEqual([
      "created",
      "in_progress",
      "output_item.added",
      "content_part.added",
      "reasoning_text.delta",
      "reasoning_text.delta",
      "reasoning_text.done",
      "content_part.done",
      "output_item.done",
      "output_item.added",
      "content_part.added",
      "output_text.delta",
      "output_text.delta",
      "output_text.done",
      "content_part.done",
      "output_item.done",
      "output_item.added",
      "function_call_arguments.delta",
      "function_call_arguments.delta",
      "function_call_arguments.done",
      "output_item.done",
      "output_item.added",
      "function_call_arguments.delta",
      "function_call_arguments.done",
      "output_item.done",
      "completed",
    ]);
  });

  test("whatever comes in whatever order: who reads the events has the response's output", () => {
    const piece = fc.oneof(
      fc.string({ maxLength: 4 }).map((content): Delta => ({ content })),
      fc.string({ maxLength: 4 }).map((reasoning_content): Delta => ({ reasoning_content })),
      fc
        .record({ index: fc.nat(3), text: fc.string({ maxLength: 4 }) })
        .map(({ index, text }) => call(index, undefined, text)),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (deltas) => {
        const { events, response } = eventsOf(deltas);
        expect(replay(events)).toEqual(response.output);
        const said = deltas.map(({ content }) => content ?? "").join("");
        expect(response.output_text).toBe(said);
      }),
      { numRuns: 500 },
    );
  });

  test("an answer that is cut for its length is incomplete, and so is its last item", () => {
    const { events, response } = eventsOf([{ content: "Hel" }], "length");
    expect(response).toMatchObject({
      status: "incomplete",
      incomplete_details: { reason: "max_output_tokens" },
      output: [{ status: "incomplete" }],
    });
    expect(events.at(-1)?.type).toBe("response.incomplete");
  });
});
