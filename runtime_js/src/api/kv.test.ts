import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Engine, InvalidRequestError, type Prompt } from "../index.js";
import { dawn } from "../testing/host.js";
import { tinyPack } from "../testing/tiny_pack.js";

/** A template that tells of tools, and of a variable. */
const TOLD =
  "{% if tools %}[{% for t in tools %}{{ t.function.name }}{% endfor %}]{% endif %}{{ mood }}" +
  "{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}";

const messages = [{ role: "user" as const, content: "a long document" }];

let folder: string;
let gpu: GPU;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "pack-"));
  for (const [name, bytes] of tinyPack()) writeFileSync(join(folder, name), bytes);
  gpu = await dawn();
});

afterAll(() => rmSync(folder, { recursive: true }));

/** One engine after another over the same storage, as visits of a page are. */
async function visit<T>(use: (engine: Engine) => Promise<T>, pack = folder): Promise<T> {
  const engine = await Engine.load(pack, { worker: false, gpu });
  try {
    return await use(engine);
  } finally {
    await engine.unload();
  }
}

async function ask(engine: Engine) {
  const { choices, usage } = await engine.chat.completions.create({
    messages,
    max_tokens: 6,
    temperature: 0,
  });
  return {
    text: choices[0]?.message.content,
    cached: usage?.prompt_tokens_details?.cached_tokens,
    tokens: usage?.prompt_tokens ?? 0,
  };
}

test("a saved prompt is there in the next visit, until it is deleted", async () => {
  const { text, tokens } = await visit(async (engine) => {
    expect(await engine.kv.list()).toEqual([]);
    expect(await engine.kv.restore("document")).toBeNull();
    const saved = await engine.kv.save("document", messages);
    const answer = await ask(engine);
    expect(saved).toMatchObject({ name: "document", tokens: answer.tokens });
    expect(await engine.kv.list()).toEqual([saved]);
    return answer;
  });
  await visit(async (engine) => {
    expect(await engine.kv.restore("document")).toMatchObject({ name: "document", tokens });
    expect(await ask(engine)).toEqual({ text, tokens, cached: tokens - 1 });
    await engine.kv.delete("document");
  });
  await visit(async (engine) => {
    expect(await engine.kv.restore("document")).toBeNull();
    expect(await ask(engine)).toEqual({ text, tokens, cached: 0 });
    await engine.kv.save("document", messages);
  });
  await Engine.deleteCached(folder, { worker: false, gpu });
  await visit(async (engine) => expect(await engine.kv.list()).toEqual([]));
});

test("a saved prompt is that of the request: with tools, the template's variables, as a text or token ids", async () => {
  const packed = mkdtempSync(join(tmpdir(), "pack-"));
  for (const [name, bytes] of tinyPack(128, TOLD)) writeFileSync(join(packed, name), bytes);
  const tools = [{ type: "function" as const, function: { name: "get_weather" } }];
  const chat = { messages, tools, webbuild: { template: { mood: "gay" } } };
  const text = "once upon a time";
  const ids = [5, 4, 3, 2, 1, 2, 3, 4, 5];
  try {
    await visit(async (engine) => {
      expect(await engine.kv.save("chat", chat)).toMatchObject({
        tokens: await engine.countTokens(chat),
      });
      expect(await engine.kv.save("text", text)).toMatchObject({ tokens: text.length });
      expect(await engine.kv.save("ids", ids)).toMatchObject({ tokens: ids.length });
    }, packed);
    await visit(async (engine) => {
      const cached = async (prompt: Prompt) =>
        (await engine.prepRecv(prompt, { end: await engine.countTokens(prompt), reserve: false }))
          .matched;
      for (const name of ["chat", "text", "ids"]) await engine.kv.restore(name);
      expect(await cached(text)).toBe(text.length);
      expect(await cached(ids)).toBe(ids.length);
      expect(await cached(messages)).toBe(0);
      const { usage } = await engine.chat.completions.create({
        ...chat,
        webbuild: { ...chat.webbuild, constrain_tools: false },
        max_tokens: 2,
        temperature: 0,
      });
      expect(usage.prompt_tokens_details.cached_tokens).toBe(usage.prompt_tokens - 1);
    }, packed);
  } finally {
    rmSync(packed, { recursive: true });
  }
});

test("bad names and messages are refused, and an aborted save saves nothing", async () => {
  await visit(async (engine) => {
    for (const name of ["", "x".repeat(257), 3 as unknown as string]) {
      for (const call of [
        engine.kv.save(name, messages),
        engine.kv.restore(name),
        engine.kv.delete(name),
      ]) {
        await expect(call).rejects.toMatchObject({ name: "InvalidRequestError", param: "name" });
      }
    }
    await expect(engine.kv.save("x", [])).rejects.toBeInstanceOf(InvalidRequestError);
    for (const [prompt, param] of [
      ["", "prompt"],
      [[1, 100_000], "prompt"],
      [{ messages, tools: [] }, "tools"],
      [{ messages, temperature: 0 }, "prompt.temperature"],
    ] as const) {
      const refused = engine.kv.save("x", prompt as Prompt);
      await expect(refused).rejects.toMatchObject({ name: "InvalidRequestError", param });
    }
    const save = engine.kv.save("x", messages, { signal: AbortSignal.abort() });
    await expect(save).rejects.toMatchObject({ name: "AbortError" });
    expect(await engine.kv.list()).toEqual([]);
  });
});
