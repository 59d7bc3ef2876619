import { afterEach, expect, test } from "vitest";
import { BASE, dawn, testHost } from "../testing/host.js";
import { replaceJson, tinyPack } from "../testing/tiny_pack.js";
import type { LanguageModel } from "./language_model.js";
import { load } from "./load.js";
import type { Delta, GenerateRequest } from "./request.js";
import { SPLIT_CONTEXT } from "./works.js";

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

async function answer(model: LanguageModel, logprobs: number | null, content = "hi") {
  const request: GenerateRequest = {
    messages: [{ role: "user", content }],
    maxTokens: 3,
    stop: [],
    sampling: { temperature: 0, frequencyPenalty: 0, presencePenalty: 0, logitBias: [], logprobs },
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
  const contextLength = SPLIT_CONTEXT + 16;
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
  const frame = model.prompt([{ role: "user", content: "" }]).tokens.length;
  const { decode, decode_split: launches } = model.info().launches;
  const missing: readonly string[] = ["logprobs", "decode_split"];
  for (const [length, created, unfinished] of [
    [SPLIT_CONTEXT - 3, decode, missing], // of three tokens the last one makes no step: the context grows by two
    [SPLIT_CONTEXT - 2, launches, ["logprobs"]],
    [SPLIT_CONTEXT, 0, ["logprobs"]],
  ] as const) {
    const found = await answer(model, null, "x".repeat(length - frame));
    expect(found.created, `${length} tokens`).toBe(created);
    expect(new Set(model.executor.unfinished)).toEqual(new Set(unfinished));
  }
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
