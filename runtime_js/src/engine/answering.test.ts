import { expect, test } from "vitest";
import { TOOL_TEMPLATES, TOOLS } from "../testing/tool_templates.js";
import { ChatTemplate } from "../text/chat_template.js";
import type { Tokenizer } from "../text/tokenizer.js";
import { Answering } from "./answering.js";
import type { GenerateRequest } from "./request.js";

const MARKS = ["<|start|>", "<|channel|>", "<|message|>", "<|constrain|>", "<|end|>", "<|call|>"];
const WORDS = [...MARKS, "<|endoftext|>", "assistant", "user"];
const bytes = {
  added: WORDS.slice(0, 7).map((content, id) => ({ id, content })),
  of: (id: number) => new TextEncoder().encode(WORDS[id]),
};
const answering = new Answering(
  { tokenizer: { bytes } as unknown as Tokenizer },
  new ChatTemplate(TOOL_TEMPLATES["harmony"]?.template as string, {}),
);
const request = { messages: [] } as unknown as GenerateRequest;

test("control tokens that are marks of messages are text, be there tools or not", () => {
  const marks = MARKS.map((_, id) => id);
  expect([...answering.marks]).toEqual(marks);
  const answer = answering.of(request, Int32Array.of(0, 7), undefined);
  expect([...(answer?.keep ?? [])]).toEqual(marks);
  expect(answer?.grammar).toBeUndefined();
  const text =
    "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Hi";
  const read = answer?.read({ text, tokens: 9, logprobs: [] });
  expect(read).toMatchObject({ text: "Hi", reasoning: "Hm." });
});

test("whether the prompt has the first message's mark tells what the answer begins with", () => {
  const held = (prompt: number[]) =>
    JSON.stringify(
      answering.of(
        { ...request, tools: TOOLS, toolChoice: { mode: "required" } },
        Int32Array.from(prompt),
        undefined,
      )?.grammar,
    );
  expect(held([0, 7])).not.toContain(
    'elements\\":[{\\"type\\":\\"const_string\\",\\"value\\":\\"<|start|>assistant',
  );
  expect(held([0, 8])).toContain(
    'elements\\":[{\\"type\\":\\"const_string\\",\\"value\\":\\"<|start|>assistant',
  );
});
