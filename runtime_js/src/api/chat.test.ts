/** What chat completions promise beyond their shape: on the tiny pack, whose greedy tokens a twin tells. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ChatCompletionChunk, Engine } from "../index.js";
import { dawn } from "../testing/host.js";
import { IM_END, tinyPack } from "../testing/tiny_pack.js";

let folder: string;
let engine: Engine;
const load = async () => Engine.load(folder, { worker: false, gpu: await dawn() });

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "pack-"));
  for (const [name, bytes] of tinyPack(256)) writeFileSync(join(folder, name), bytes);
  engine = await load();
});

afterAll(async () => {
  await engine.unload();
  rmSync(folder, { recursive: true });
});

const messages = [{ role: "user" as const, content: "hi" }];

async function chunksOf(params: object): Promise<ChatCompletionChunk[]> {
  const request = { messages, stream: true as const, ...params };
  const stream = await engine.chat.completions.create(request);
  const chunks: ChatCompletionChunk[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

test("the fingerprint is that of pack, tier and version: the same in every answer, chunk and load", async () => {
  const { system_fingerprint } = await engine.chat.completions.create({ messages, max_tokens: 2 });
  expect(system_fingerprint).toMatch(/^fp_[0-9a-f]{10}$/);
  const chunks = await chunksOf({ max_tokens: 4, stream_options: { include_usage: true } });
  expect(new Set(chunks.map((c) => c.system_fingerprint))).toEqual(new Set([system_fingerprint]));
  const again = await load();
  try {
    const answer = await again.completions.create({ prompt: "a", max_tokens: 1 });
    expect(answer.system_fingerprint).toBe(system_fingerprint);
  } finally {
    await again.unload();
  }
});

test("the service tier is told when it was asked for", async () => {
  const ask = (more: object) =>
    engine.chat.completions.create({ messages, max_tokens: 1, ...more });
  expect("service_tier" in (await ask({}))).toBe(false);
  expect((await ask({ service_tier: "auto" })).service_tier).toBe("default");
  const chunks = await chunksOf({ max_tokens: 2, service_tier: "default" });
  expect(chunks.every((chunk) => chunk.service_tier === "default")).toBe(true);
});

test("the model's own end ends the answer, unless it is ignored", async () => {
  const ends = { logit_bias: { [IM_END]: 100 }, max_tokens: 20 };
  const ended = await engine.chat.completions.create({ messages, ...ends });
  const text = ended.choices[0]?.message.content ?? "";
  expect(ended.choices[0]?.finish_reason).toBe("stop");
  expect(ended.usage.completion_tokens).toBe(text.length + 1); // ASCII, a token each, and the end
  const webbuild = { ignore_eos: true };
  const on = await engine.chat.completions.create({ messages, ...ends, webbuild });
  expect(on.choices[0]?.finish_reason).toBe("length");
  expect(on.choices[0]?.message.content?.startsWith(text)).toBe(true);
  expect(on.usage.completion_tokens).toBe(20);
});

test("the stop text that is completed first ends every choice, and no part of it is streamed", async () => {
  const params = { temperature: 1, seed: 3, n: 3, max_tokens: 60 };
  const whole = await engine.chat.completions.create({ messages, ...params });
  const texts = whole.choices.map(({ message }) => message.content ?? "");
  // Of several tokens each, which the texts have, and beginnings that go on otherwise.
  const stop = texts.map((text, i) => text.slice(20 - i, 23)).concat(`${texts[0]?.slice(5, 8)}no`);
  const expected = texts.map((text) => {
    const found = stop.filter((s) => text.includes(s)).map((s) => [text.indexOf(s), s.length]);
    found.sort(([a = 0, m = 0], [b = 0, n = 0]) => a + m - (b + n) || a - b);
    return text.slice(0, found[0]?.[0]);
  });
  expect(expected.every((text, i) => text.length < (texts[i]?.length ?? 0))).toBe(true);
  const stopped = await engine.chat.completions.create({ messages, ...params, stop });
  expect(stopped.choices.map((c) => c.message.content)).toEqual(expected);
  expect(stopped.choices.map((c) => c.finish_reason)).toEqual(["stop", "stop", "stop"]);
  const choices = (await chunksOf({ ...params, stop })).flatMap((c) => c.choices);
  for (const [index, text] of expected.entries()) {
    const own = choices.filter((choice) => choice.index === index);
    let shown = "";
    for (const { delta } of own) {
      shown += delta.content ?? "";
      expect(text.startsWith(shown)).toBe(true);
    }
    expect(shown).toBe(text);
    expect(own.at(-1)?.finish_reason).toBe("stop");
  }
});

test("an answer's message goes back as it came, and a refusal as what was said", async () => {
  const { choices } = await engine.chat.completions.create({ messages, max_tokens: 3 });
  const [first] = choices;
  const said = {
    ...first?.message,
    reasoning_content: "hm", // which this template does not show
    annotations: [],
    audio: null,
    function_call: null,
  };
  const more = { role: "user", content: "and?" };
  const count = (message: object) =>
    engine.countTokens([...messages, message, more] as Parameters<typeof engine.countTokens>[0]);
  const content = first?.message.content;
  expect(await count(said)).toBe(await count({ role: "assistant", content }));
  const no = [
    { role: "assistant", content: null, refusal: "no" },
    { role: "assistant", content: [{ type: "refusal", refusal: "no" }] },
  ];
  for (const message of no) {
    expect(await count(message)).toBe(await count({ role: "assistant", content: "no" }));
  }
});
