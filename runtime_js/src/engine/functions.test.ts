import { afterEach, expect, test } from "vitest";
import { PagePool } from "../kv/page_pool.js";
import { Sequence } from "../kv/sequence.js";
import { BASE, dawn, testHost } from "../testing/host.js";
import { nextToken, replaceJson, tinyPack } from "../testing/tiny_pack.js";
import type { LanguageModel } from "./language_model.js";
import { load } from "./load.js";
import type { Delta, GenerateRequest, SamplingOptions } from "./request.js";
import { SamplingRow } from "./sampling.js";
import { SOFTWARE_SPLIT_CONTEXT } from "./works.js";

const never = new AbortController().signal;
const loaded: LanguageModel[] = [];

afterEach(() => {
  for (const model of loaded.splice(0)) model.unload();
});

/** @param code of the kernel `logprobs`, from the right one */
async function loadTiny(code = (wgsl: string) => wgsl): Promise<LanguageModel> {
  const pack = tinyPack();
  replaceJson(pack, "kernels.json", ({ kernels }) => {
    kernels.logprobs.wgsl = code(kernels.logprobs.wgsl);
  });
  const model = await load(testHost(pack, await dawn()), { url: BASE }, () => {}, never);
  loaded.push(model);
  return model;
}

async function answer(
  model: LanguageModel,
  logprobs: number | null,
  content = "hi",
  more: Partial<SamplingOptions> = {},
) {
  const none = { frequencyPenalty: 0, presencePenalty: 0, logitBias: [] };
  const request: GenerateRequest = {
    messages: [{ role: "user", content }],
    maxTokens: 3,
    stop: [],
    sampling: { temperature: 0, ...none, logprobs, ...more },
  };
  let text = "";
  const before = model.stats().createdBindGroups;
  const delta = (d: Delta) => {
    text += d.text;
  };
  await model.generate(request, { delta }, never);
  return { text, created: model.stats().createdBindGroups - before };
}

test("decoding and log-probabilities are made ready by the first request that needs them, and once", async () => {
  const model = await loadTiny();
  const { launches } = model.info();
  expect(model.executor.unfinished).toEqual(["decode", "logprobs"]);
  const first = await answer(model, null);
  expect(first.created).toBe(launches["decode"]);
  expect(model.executor.unfinished).toEqual(["logprobs"]);
  const { text } = first;
  expect(await answer(model, null)).toEqual({ text, created: 0 });
  expect(await answer(model, 2)).toEqual({ text, created: launches["logprobs"] });
  expect(model.executor.unfinished).toEqual([]);
  expect(await answer(model, 2)).toEqual({ text, created: 0 });
});

test("or while nobody asks for anything", async () => {
  const model = await loadTiny();
  await expect.poll(() => model.executor.unfinished, { timeout: 20_000 }).toEqual([]);
  expect(await answer(model, 2)).toMatchObject({ created: 0 });
});

test("decoding in pieces is made ready by the first context that is long enough", async () => {
  const contextLength = SOFTWARE_SPLIT_CONTEXT + 16;
  const pack = tinyPack(contextLength);
  replaceJson(pack, "program.json", ({ symbols, inputs, tiers }) => {
    for (const name of ["works", "shared_works", "parts"]) {
      symbols.push({ name, description: name, scope: "step", max: 32 });
    }
    inputs.push({ name: "work", dtype: "i32", shape: [["*", 2, "parts"], 4] });
    inputs.push({ name: "work_rows", dtype: "i32", shape: [["+", "seqs", 1]] });
    tiers.f32.functions.decode_split = tiers.f32.functions.decode;
  });
  const model = await load(testHost(pack, await dawn()), { url: BASE }, () => {}, never);
  loaded.push(model);
  const frame = model.prompts.render([{ role: "user", content: "" }]).tokens.length;
  const { decode, decode_split: launches } = model.info().launches;
  const missing: readonly string[] = ["logprobs", "decode_split"];
  for (const [length, created, unfinished] of [
    [SOFTWARE_SPLIT_CONTEXT - 3, decode, missing], // of three tokens the last one makes no step: the context grows by two
    [SOFTWARE_SPLIT_CONTEXT - 2, launches, ["logprobs"]],
    [SOFTWARE_SPLIT_CONTEXT, 0, ["logprobs"]],
  ] as const) {
    const found = await answer(model, null, "x".repeat(length - frame));
    expect(found.created, `${length} tokens`).toBe(created);
    expect(new Set(model.executor.unfinished)).toEqual(new Set(unfinished));
  }
});

test("requests without limits take a sampler of their own, which the load makes ready if such are the defaults", async () => {
  const unlimited = { temperature: 1, topP: 1, seed: 3 };
  const limited = { temperature: 1, topP: 0.9, seed: 3 };
  /** The tiny model with a second sampler, which draws the token after the right one. */
  const loadBoth = async (defaults: object) => {
    const pack = tinyPack();
    replaceJson(pack, "generation_config.json", (json) => Object.assign(json, defaults));
    replaceJson(pack, "kernels.json", ({ kernels }) => {
      const wgsl = kernels.sample.wgsl.replace("17u + 5u", "17u + 6u");
      kernels.plain = { ...kernels.sample, name: "plain", wgsl };
    });
    replaceJson(pack, "program.json", ({ tiers }) => {
      const { functions } = tiers.f32;
      const [launch] = functions.sample.launches;
      functions.sample_plain = { ...functions.sample, launches: [{ ...launch, kernel: "plain" }] };
    });
    const model = await load(testHost(pack, await dawn()), { url: BASE }, () => {}, never);
    loaded.push(model);
    return model;
  };
  const greedy = await loadBoth({});
  expect(greedy.executor.unfinished).toEqual(["decode", "sample", "logprobs"]);
  const plain = (await answer(greedy, null, "hi", unlimited)).text;
  expect(greedy.executor.unfinished).toEqual(["sample", "logprobs"]);
  const whole = (await answer(greedy, null, "hi", limited)).text;
  expect(greedy.executor.unfinished).toEqual(["logprobs"]);
  expect(whole).not.toBe(plain);
  expect(await answer(greedy, null, "hi", unlimited)).toEqual({ text: plain, created: 0 });
  expect((await answer(greedy, 2, "hi", unlimited)).text).toBe(plain);

  const nucleus = await loadBoth({ do_sample: true, temperature: 1, top_p: 0.9 });
  expect(nucleus.executor.unfinished).toEqual(["decode", "logprobs", "sample_plain"]);
  // What is ready does it too.
  expect((await answer(nucleus, null, "hi", unlimited)).text).toBe(whole);
  expect(nucleus.executor.unfinished).toEqual(["logprobs", "sample_plain"]);
  await nucleus.finish();
  expect((await answer(nucleus, null, "hi", unlimited)).text).toBe(plain);
  expect((await answer(nucleus, null, "hi", limited)).text).toBe(whole);
});

test("a kernel that few requests need and that doesn't compile fails these by name", async () => {
  const model = await loadTiny((wgsl) => wgsl.replace("sampled[s + 1u]", "nope(s)"));
  const failed = expect(answer(model, 2)).rejects;
  await failed.toMatchObject({
    name: "DeviceError",
    message: expect.stringMatching(/kernel logprobs does not compile.*nope/),
  });
  expect((await answer(model, null)).text).not.toBe("");
  await expect(answer(model, 2)).rejects.toMatchObject({ name: "DeviceError" });
});

test("kernels for few rows run in the steps that they are for, once they are ready; until then the launches' own", async () => {
  const pack = tinyPack();
  // Of the launch `head` for two rows: the same but for what it calls the likeliest.
  replaceJson(pack, "kernels.json", ({ kernels }) => {
    const wgsl = kernels.head.wgsl.replace("f32(next));", "f32(next + 1u));");
    kernels.head_few = { ...kernels.head, name: "head_few", wgsl };
  });
  replaceJson(pack, "program.json", ({ tiers }) => {
    for (const name of ["prefill", "decode"]) {
      const fn = tiers.f32.functions[name];
      const { grid } = fn.launches[2];
      const few = { rows: "outs", least: 2, most: 4, kernel: "head_few", grid, alternatives: [] };
      fn.few = [[few]];
      fn.launches[2].few = 0;
    }
  });
  const model = await load(testHost(pack, await dawn()), { url: BASE }, () => {}, never);
  loaded.push(model);
  const { executor } = model;
  await model.finish();
  const compiled = model.stats().createdPipelines;
  const pool = new PagePool(32);
  const sampling = new SamplingRow(
    { temperature: 0, frequencyPenalty: 0, presencePenalty: 0, logitBias: [], logprobs: null },
    {},
    0n,
  );
  const texts = [[5, 6, 7], [9]];
  const sequences = texts.map((_, slot) => new Sequence(pool, 4, slot));
  /** Draws one token after each text, which `fed` of are its new tokens. */
  const step = async (rows: readonly (readonly [number, number[]])[], prepares = true) => {
    const batch = rows.map(([i, fed]) => {
      const sequence = sequences[i] as Sequence;
      sequence.reserve(fed.length);
      const outs = [{ index: fed.length - 1, sampling, drawIndex: 0 }];
      return { sequence, tokens: Int32Array.from(fed), outs };
    });
    const missing = executor.missing(batch, ["sample"]);
    if (prepares) await executor.prepare(...missing);
    const words = (await executor.step(batch, ["sample"])) as Uint32Array;
    return { missing, drawn: rows.map((_, i) => words[64 * i]) };
  };
  const next = (i: number) => nextToken(texts[i] as number[]);
  expect(await step([[0, texts[0] as number[]]])).toEqual({ missing: [], drawn: [next(0)] });
  expect(await step([[1, texts[1] as number[]]])).toEqual({ missing: [], drawn: [next(1)] });
  texts.forEach((text) => {
    text.push(1);
  });
  const both = [
    [0, [1]],
    [1, [1]],
  ] as const;
  const rows = both.map(([i, fed]): [number, number[]] => [i, [...fed]]);
  const missing = ["decode:outs4"];
  expect(await step(rows, false)).toEqual({ missing, drawn: [next(0), next(1)] });
  texts.forEach((text) => {
    text.push(1);
  });
  // As many rows as in the last step, but with other kernels.
  expect(await step(rows)).toEqual({ missing, drawn: [next(0) + 1, next(1) + 1] });
  expect(model.stats().createdPipelines).toBe(compiled + 1);
  texts[0]?.push(2, 3);
  texts[1]?.push(4);
  // Another function shares them.
  const mixed = { missing: [], drawn: [next(0) + 1, next(1) + 1] };
  expect(
    await step([
      [0, [2, 3]],
      [1, [4]],
    ]),
  ).toEqual(mixed);
  texts[0]?.push(8);
  expect(await step([[0, [8]]])).toEqual({ missing: [], drawn: [next(0)] });
});

test("what is finished after steps have used it gives them back their params", async () => {
  const { executor } = await loadTiny();
  const options = { frequencyPenalty: 0, presencePenalty: 0, logitBias: [], logprobs: null };
  const sampling = new SamplingRow({ temperature: 0, ...options }, {}, 0n);
  const pool = new PagePool(8);
  const texts = [[5], [9]];
  const sequences = texts.map((_, slot) => new Sequence(pool, 4, slot));
  await executor.prepare("decode");
  const expectNext = async () => {
    const batch = sequences.map((sequence, i) => {
      sequence.reserve(1);
      const tokens = Int32Array.from(texts[i]?.slice(-1) as number[]);
      return { sequence, tokens, outs: [{ index: 0, sampling, drawIndex: 0 }] };
    });
    const words = (await executor.step(batch, ["sample"])) as Uint32Array;
    expect([words[0], words[64]]).toEqual(texts.map(nextToken));
    for (const text of texts) text.push(3);
  };
  await expectNext();
  const scratch = new Sequence(pool, 4, 0);
  scratch.reserve(1);
  await executor.finish("decode", scratch);
  await expectNext();
});

test("before something is finished, pages are copied: it may write to those", async () => {
  const { executor } = await loadTiny();
  const options = { frequencyPenalty: 0, presencePenalty: 0, logitBias: [], logprobs: null };
  const sampling = new SamplingRow({ temperature: 0, ...options }, {}, 0n);
  const pool = new PagePool(2);
  const next = async (sequence: Sequence, tokens: number[]) => {
    const out = { index: tokens.length - 1, sampling, drawIndex: 0 };
    const batch = [{ sequence, tokens: Int32Array.from(tokens), outs: [out] }];
    return ((await executor.step(batch, ["sample"])) as Uint32Array)[0];
  };
  const first = new Sequence(pool, 4, 0);
  first.reserve(2);
  expect(await next(first, [5, 7])).toBe(nextToken([5, 7]));
  const second = first.fork(0);
  second.reserve(1); // a page of its own, to be copied before the next step
  first.release();
  const scratch = new Sequence(pool, 4, 0);
  await executor.finish("decode", scratch);
  expect(pool.takeCopies()).toEqual([]);
  scratch.release();
  expect(await next(second, [9])).toBe(nextToken([5, 7, 9]));
});
