import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, expectTypeOf, test } from "vitest";
import { Engine, InvalidRequestError, WrongModelKind } from "../index.js";
import { dawn } from "../testing/host.js";
import { encoded, tinyEncoder, vectorOf, WIDTH } from "../testing/tiny_encoder.js";
import { tinyPack } from "../testing/tiny_pack.js";
import type * as ours from "./embeddings.js";

const folders: string[] = [];
let engine: Engine;

async function loadPack(files: Map<string, Uint8Array>): Promise<Engine> {
  const folder = mkdtempSync(join(tmpdir(), "pack-"));
  folders.push(folder);
  for (const [name, bytes] of files) writeFileSync(join(folder, name), bytes);
  return Engine.load(folder, { worker: false, gpu: await dawn() });
}

beforeAll(async () => {
  engine = await loadPack(tinyEncoder());
});
afterAll(async () => {
  await engine.unload();
  for (const folder of folders) rmSync(folder, { recursive: true });
});

describe("embeddings.create", () => {
  test("answers as OpenAI's does", async () => {
    const exact = vectorOf(encoded("abc")).map(Math.fround);
    const one = await engine.embeddings.create({ input: "abc", model: "any", user: "me" });
    expect(one).toEqual({
      object: "list",
      data: [{ object: "embedding", index: 0, embedding: exact }],
      model: "tiny",
      usage: { prompt_tokens: 5, total_tokens: 5 },
    });
    const several = await engine.embeddings.create({
      input: ["abc", "d"],
      encoding_format: "float",
    });
    expect(several.data.map(({ index }) => index)).toEqual([0, 1]);
    expect(several.usage.total_tokens).toBe(8);
    const ids = await engine.embeddings.create({ input: encoded("abc") });
    expect(ids.data).toEqual(one.data);
    const lists = await engine.embeddings.create({ input: [encoded("abc"), [1]] });
    expect(lists.data[0]).toEqual(one.data[0]);
  });

  test("base64 is little-endian floats", async () => {
    const { data } = await engine.embeddings.create({ input: ["abc"], encoding_format: "base64" });
    const bytes = Buffer.from(data[0]?.embedding as string, "base64");
    const numbers = Array.from({ length: WIDTH }, (_, d) => bytes.readFloatLE(4 * d));
    expect(numbers).toEqual(vectorOf(encoded("abc")).map(Math.fround));
    expect(bytes.length).toBe(4 * WIDTH);
  });

  test("what is ours stands under webbuild", async () => {
    const webbuild = { pooling: "last", normalize: true, truncate: true } as const;
    const { data } = await engine.embeddings.create({
      input: "x".repeat(40),
      dimensions: 3,
      webbuild,
    });
    const last = vectorOf(encoded("x".repeat(14)), "last").slice(0, 3);
    const length = Math.hypot(...last);
    const [embedding] = data.map((one) => one.embedding) as [number[]];
    expect(embedding.length).toBe(3);
    for (const [d, x] of embedding.entries())
      expect(x).toBeCloseTo((last[d] as number) / length, 6);
  });

  test.each([
    ["no input", {}, "input"],
    ["no texts", { input: [] }, "input"],
    ["an empty text", { input: ["a", ""] }, "input"],
    ["an empty text alone", { input: "" }, "input"],
    ["no tokens", { input: [[]] }, "input"],
    ["texts and tokens", { input: ["a", [1]] }, "input"],
    ["a token that is none", { input: [1, -1] }, "input"],
    ["dimensions", { input: "a", dimensions: 0 }, "dimensions"],
    ["more dimensions than there are", { input: "a", dimensions: 5 }, "dimensions"],
    ["a format", { input: "a", encoding_format: "int8" }, "encoding_format"],
    ["a user that is no text", { input: "a", user: 1 }, "user"],
    ["an unknown parameter", { input: "a", temperature: 1 }, "temperature"],
    ["what belongs under webbuild", { input: "a", pooling: "cls" }, "pooling"],
    ["a pooling", { input: "a", webbuild: { pooling: "max" } }, "webbuild.pooling"],
    ["a flag", { input: "a", webbuild: { truncate: 1 } }, "webbuild.truncate"],
    ["an unknown extension", { input: "a", webbuild: { size: 1 } }, "webbuild.size"],
  ])("refuses %s by name", async (_, params, param) => {
    const error = await engine.embeddings.create(params as never).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(InvalidRequestError);
    expect((error as InvalidRequestError).param).toBe(param);
  });

  test("a model of the other kind is named, both ways", async () => {
    const chat = engine.chat.completions.create({ messages: [{ role: "user", content: "hi" }] });
    await expect(chat).rejects.toThrow(WrongModelKind);
    await expect(chat).rejects.toThrow(/tiny embeds texts .* engine.embeddings.create/);
    const text = await loadPack(tinyPack());
    const embed = text.embeddings.create({ input: "a" });
    await expect(embed).rejects.toThrow(WrongModelKind);
    await expect(embed).rejects.toMatchObject({ data: { model: "tiny", kind: "text" } });
    await text.unload();
  });

  test("a device's state is told, and texts are counted", async () => {
    const state = await new Promise((resolve) => {
      const end = engine.on("device", (told) => {
        resolve(told);
        end();
      });
    });
    expect(state).toMatchObject({ state: "ready", losses: 0 });
    expect(await engine.tokenize("ab")).toEqual([97, 98]);
  });

  test("its types are the openai package's", () => {
    expectTypeOf<ours.CreateEmbeddingResponse>().toExtend<OpenAI.CreateEmbeddingResponse>();
    type Request = Omit<ours.EmbeddingCreateParams, "webbuild"> & { model: string };
    expectTypeOf<OpenAI.EmbeddingCreateParams>().toExtend<Request>();
    expectTypeOf<Request>().toExtend<OpenAI.EmbeddingCreateParams>();
  });
});
