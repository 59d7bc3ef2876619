/** WebLLM's `response_format`, of the demo model on Dawn. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { Engine, type EngineOptions } from "../../index.js";
import { folder } from "../../testing/demo_serving.js";
import { dawn } from "../../testing/host.js";
import { MLCEngine } from "./index.js";
import type { ResponseFormat } from "./types.js";

class Here extends MLCEngine {
  protected override async load(url: string, options: EngineOptions): Promise<Engine> {
    return Engine.load(url, { ...options, worker: false, gpu: await dawn() });
  }
}

const appConfig = { model_list: [{ model_id: "demo", model: folder }] };
const engine = new Here({ appConfig });

beforeAll(() => engine.reload("demo", { temperature: 0, context_window_size: 256 }));
afterAll(() => engine.unload());

const schema = {
  type: "object",
  properties: { city: { enum: ["Paris", "Oslo"] } },
  required: ["city"],
  additionalProperties: false,
};
const cities = [{ city: "Paris" }, { city: "Oslo" }];

async function ask(response_format: ResponseFormat) {
  const messages = [{ role: "user" as const, content: "Name a city." }];
  const { choices } = await engine.chat.completions.create({
    messages,
    response_format,
    max_tokens: 60,
  });
  return choices[0]?.message.content ?? "";
}

test("json_object: any object, or one of a schema", async () => {
  expect(await ask({ type: "json_object" })).toMatch(/^\{/);
  const object = await ask({ type: "json_object", schema: JSON.stringify(schema) });
  expect(cities).toContainEqual(JSON.parse(object));
});

test("grammar: EBNF", async () => {
  const grammar = 'root ::= ("Paris" | "Oslo") "!"';
  expect(await ask({ type: "grammar", grammar })).toMatch(/^(Paris|Oslo)!$/);
});

test("structural_tag: a schema within a tag", async () => {
  const content = { type: "json_schema", json_schema: schema };
  const format = { type: "tag", begin: "<city>", content, end: "</city>" };
  const text = await ask({ type: "structural_tag", structural_tag: { format } });
  const [, object] = /^<city>(.*)<\/city>$/s.exec(text) ?? [];
  expect(cities).toContainEqual(JSON.parse(object ?? ""));
});
