import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  AbortError,
  ContextLengthExceeded,
  DeviceLostError,
  EngineUnloaded,
  InvalidPack,
  InvalidRequestError,
  WrongModelKind,
} from "../errors.js";
import { BASE, dawn, testHost, watched } from "../testing/host.js";
import { encoded, TEXTS, TOKENS, tinyEncoder, vectorOf, WIDTH } from "../testing/tiny_encoder.js";
import { replaceJson } from "../testing/tiny_pack.js";
import { canRun } from "./can_run.js";
import type { EmbeddingModel, EmbedRequest } from "./embedding_model.js";
import { type LoadOptions, load, loadAny } from "./load.js";

const never = new AbortController().signal;

let model: EmbeddingModel;
let devices: GPUDevice[];
let submits = 0;
let live: { bytes: number };

async function loadEncoder(
  options: Partial<LoadOptions> = {},
  pack = tinyEncoder(),
): Promise<EmbeddingModel> {
  const host = watched(await dawn());
  devices = host.devices;
  live = host.live;
  const loaded = await loadAny(
    testHost(pack, host.gpu),
    { url: BASE, ...options },
    () => {},
    never,
  );
  const { queue } = devices[0] as GPUDevice;
  const submit = queue.submit.bind(queue);
  submits = 0;
  const value = (buffers: GPUCommandBuffer[]) => {
    submits++;
    submit(buffers);
  };
  Object.defineProperty(queue, "submit", { value });
  return loaded as EmbeddingModel;
}

async function vectors(request: EmbedRequest, signal = never): Promise<number[][]> {
  const { vectors: flat, dimensions } = await model.embed(request, signal);
  return request.input.map((_, i) => [...flat.subarray(i * dimensions, (i + 1) * dimensions)]);
}

function expectClose(actual: number[][], expected: number[][]): void {
  expect(actual.length).toBe(expected.length);
  actual.forEach((vector, i) => {
    expect(vector.length).toBe(expected[i]?.length);
    for (const [d, x] of vector.entries()) expect(x).toBeCloseTo(expected[i]?.[d] as number, 4);
  });
}

const unit = (vector: number[]) => vector.map((x) => x / Math.hypot(...vector));

beforeEach(async () => {
  model = await loadEncoder();
});
afterEach(() => model.unload());

describe("embed", () => {
  test("many texts go through steps of so many tokens and texts, in their order", async () => {
    const input = ["a", "hello", "four", "x".repeat(14), "", "b", "c", "d", "e", "longer text"];
    expectClose(
      await vectors({ input }),
      input.map((text) => vectorOf(encoded(text))),
    );
    // [3, 7] tokens and 6 more fit; then 16; then [2, 3, 3], [3, 3] and 13 do not.
    expect(submits).toBe(5);
    const { tokens } = await model.embed({ input }, never);
    expect(tokens).toBe(input.reduce((sum, text) => sum + text.length + 2, 0));
  });

  test("token ids are taken as they are", async () => {
    expectClose(await vectors({ input: [[7], [1, 2, 3]] }), [vectorOf([7]), vectorOf([1, 2, 3])]);
  });

  test("requests share steps, each with its own pooling", async () => {
    const poolings = ["mean", "cls", "last"] as const;
    const all = await Promise.all(poolings.map((pooling) => vectors({ input: ["abc"], pooling })));
    expectClose(
      all.flat(),
      poolings.map((pooling) => vectorOf(encoded("abc"), pooling)),
    );
    // The first one's step is submitted before the others come.
    expect(submits).toBe(2);
  });

  test("vectors are scaled if asked for, and cut before that", async () => {
    const [vector] = [vectorOf(encoded("abc"))];
    expectClose(await vectors({ input: ["abc"], normalize: true }), [unit(vector)]);
    expectClose(await vectors({ input: ["abc"], dimensions: 2 }), [unit(vector.slice(0, 2))]);
    const cut = { input: ["abc"], dimensions: 2, normalize: false };
    expectClose(await vectors(cut), [vector.slice(0, 2)]);
    const refused = vectors({ input: ["abc"], dimensions: WIDTH + 1 });
    await expect(refused).rejects.toMatchObject({
      name: "InvalidRequestError",
      param: "dimensions",
    });
  });

  test("a text that is too long is refused before any work, or cut in front of its last special token", async () => {
    const long = "x".repeat(TOKENS);
    const refused = vectors({ input: ["a", long] });
    await expect(refused).rejects.toThrow(ContextLengthExceeded);
    await expect(refused).rejects.toThrow(/input 1 has 18 tokens and the model takes 16/);
    expect(submits).toBe(0);
    expectClose(await vectors({ input: [long, Array(20).fill(5)], truncate: true }), [
      vectorOf(encoded("x".repeat(TOKENS - 2))),
      vectorOf(Array(TOKENS).fill(5)),
    ]);
  });

  test("a token outside the vocabulary is refused", async () => {
    const refused = vectors({ input: [[1], [260]] });
    await expect(refused).rejects.toThrow(InvalidRequestError);
    await expect(refused).rejects.toThrow(/input 1 has token 260/);
  });

  test("an abort ends a request between steps, and no other", async () => {
    const controller = new AbortController();
    const input = Array(30 * TEXTS).fill("abcdefghi");
    const other = vectors({ input: ["abc"] });
    const aborted = vectors({ input }, controller.signal);
    await other;
    controller.abort();
    await expect(aborted).rejects.toThrow(AbortError);
    const before = submits;
    expect(before).toBeLessThan(30);
    expectClose(await vectors({ input: ["b"] }), [vectorOf(encoded("b"))]);
    expect(submits).toBeLessThanOrEqual(before + 2); // one more may have been under way
    await expect(vectors({ input: ["b"] }, controller.signal)).rejects.toThrow(AbortError);
  });

  test("unloading rejects what is under way", async () => {
    const under = vectors({ input: Array(20).fill("abcdefghi") });
    model.unload();
    await expect(under).rejects.toThrow(EngineUnloaded);
  });
});

describe("a lost device", () => {
  test("is replaced, and the texts under way are computed there", async () => {
    const input = Array(20).fill("abcdefghi");
    const under = vectors({ input });
    devices[0]?.destroy();
    expectClose(await under, Array(20).fill(vectorOf(encoded("abcdefghi"))));
    expect(devices.length).toBe(2);
  });

  test("ends requests by name when it may not be replaced", async () => {
    model.unload();
    model = await loadEncoder({ recovery: { losses: 0 } });
    devices[0]?.destroy();
    await expect(vectors({ input: ["a"] })).rejects.toThrow(DeviceLostError);
    await expect(vectors({ input: ["a"] })).rejects.toThrow(/load the engine again/);
  });
});

describe("loading", () => {
  test("tells what the model is, and takes the pack's pooling", async () => {
    expect(model.info()).toMatchObject({
      embedding: { dimensions: WIDTH, pooling: "mean", normalize: false },
      contextLength: TOKENS,
      maxBatch: TEXTS,
      kvTokens: 0,
      launches: { embed: 1 },
    });
    // Weights, vectors and the copies in which they travel, and the step block.
    const { bytes } = model.info();
    expect(bytes).toMatchObject({ weights: 1040, kv: 0 });
    const host = testHost(tinyEncoder(), await dawn());
    const report = await canRun(host, { url: BASE }, never);
    expect(report).toMatchObject({ ok: true, maxBatch: TEXTS, kvTokens: 0, bytes });
    expect(bytes.total).toBe(live.bytes);
    model.unload();
    model = await loadEncoder({}, tinyEncoder("cls", true));
    expectClose(await vectors({ input: ["abc"] }), [unit(vectorOf(encoded("abc"), "cls"))]);
  });

  test("a load for text, and options that are of text, are refused by name", async () => {
    const host = testHost(tinyEncoder(), await dawn());
    await expect(load(host, { url: BASE }, () => {}, never)).rejects.toThrow(WrongModelKind);
    const tuned = loadAny(host, { url: BASE, tune: true }, () => {}, never);
    await expect(tuned).rejects.toMatchObject({ name: "InvalidRequestError", param: "tune" });
  });

  test("a program without what an encoder needs is refused", async () => {
    const pack = tinyEncoder();
    replaceJson(pack, "program.json", (program) => {
      program.tiers.f32.buffers[0].shape = ["seqs", WIDTH + 1];
    });
    await expect(loadEncoder({}, pack)).rejects.toThrow(InvalidPack);
    await expect(loadEncoder({}, pack)).rejects.toThrow(/embeddings is not f32\[seqs, hidden\]/);
  });
});
