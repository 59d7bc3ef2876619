import { describe, expect, test } from "vitest";
import { InvalidPack, UnsupportedFormatVersion, WebbuildError } from "../errors.js";
import { layoutArenas } from "../gpu/arena.js";
import { requirements } from "../gpu/requirements.js";
import { chooseSymbols } from "../gpu/sizes.js";
import { planSpans } from "../gpu/weights.js";
import { tinyPack } from "../testing/tiny_pack.js";
import { readModel } from "./check.js";
import { readManifest } from "./manifest.js";

const text = new TextDecoder();
const bytes = new TextEncoder();

type Files = { manifest: string; program: string; kernels: string; tensorCache: string };

function files(): Files {
  const pack = tinyPack();
  const read = (name: string) => text.decode(pack.get(name));
  return {
    manifest: read("pack.json"),
    program: read("program.json"),
    kernels: read("kernels.json"),
    tensorCache: read("tensor-cache.json"),
  };
}

function read(f: Files) {
  const manifest = readManifest(f.manifest);
  const { program, kernels, tensorCache } = f;
  const encoded = {
    program: bytes.encode(program),
    kernels: bytes.encode(kernels),
    tensorCache: bytes.encode(tensorCache),
  };
  const model = readModel(encoded, manifest);
  for (const name of Object.keys(model.program.tiers)) model.tier(name);
  return { manifest, model };
}

/** Everything that load does with the files before it asks for a device. */
function prepare(f: Files): void {
  const { manifest, model } = read(f);
  const { default_context_length: contextLength, max_batch: maxBatch } = manifest.limits;
  const capacity = { contextLength, maxBatch, kvTokens: contextLength };
  const symbols = chooseSymbols(model.program, capacity);
  for (const tier of Object.values(model.program.tiers)) requirements(model, tier, symbols);
  planSpans(model.program, model.tensors, layoutArenas(model.program.segments, 2 ** 28));
}

/** The files with one JSON value replaced: `edit` gets the parsed file. */
// biome-ignore lint/suspicious/noExplicitAny: the tests break types on purpose
function edited(name: keyof Files, edit: (json: any) => void): Files {
  const f = files();
  const json = JSON.parse(f[name]);
  edit(json);
  return { ...f, [name]: JSON.stringify(json) };
}

describe("reading a pack's files", () => {
  test("a good pack passes", () => expect(() => prepare(files())).not.toThrow());

  test("an unknown format version is named, with what to do", () => {
    for (const name of ["manifest", "program", "kernels"] as const) {
      const newer = edited(name, (json) => {
        json.format_version = 99;
      });
      expect(() => read(newer)).toThrow(UnsupportedFormatVersion);
      expect(() => read(newer)).toThrow(/version 99.*update the webbuild npm package/);
    }
  });

  // biome-ignore lint/suspicious/noExplicitAny: the tests break types on purpose
  const broken: [string, keyof Files, (json: any) => void, RegExp][] = [
    [
      "no weights",
      "manifest",
      (j) => (j.files = j.files.filter((f: { role: string }) => f.role !== "weights")),
      /no weights/,
    ],
    ["two tokenizers", "manifest", (j) => (j.files[5].role = "tokenizer"), /exactly one tokenizer/],
    ["a path outside", "manifest", (j) => (j.files[0].path = "../x"), /pack.json/],
    ["a reserved path", "manifest", (j) => (j.files[0].path = ".."), /reserved name/],
    ["a file twice", "manifest", (j) => (j.files[1].path = j.files[0].path), /listed twice/],
    ["an unknown tensor", "program", (j) => (j.segments[0].tensor = "nope"), /nope/],
    [
      "a segment too long",
      "program",
      (j) => (j.segments[1].nbytes += 4),
      /ends after tensor table/,
    ],
    ["a conversion of f32", "program", (j) => (j.segments[0].transform = "f16_to_f32"), /not f16/],
    [
      "an unknown symbol",
      "program",
      (j) => (j.tiers.f32.functions.decode.launches[0].grid[0] = "z"),
      /symbol: z/,
    ],
    [
      "an unknown kernel",
      "program",
      (j) => (j.tiers.f32.functions.decode.launches[0].kernel = "z"),
      /kernel z/,
    ],
    [
      "kernel of Object.prototype",
      "program",
      (j) => (j.tiers.f32.functions.decode.launches[0].kernel = "toString"),
      /unknown kernel/,
    ],
    [
      "an unknown alternative",
      "program",
      (j) => j.tiers.f32.functions.decode.launches[0].alternatives.push({ kernel: "z", grid: [1] }),
      /alternatives/,
    ],
    [
      "an alternative that is no kernel",
      "program",
      (j) =>
        j.tiers.f32.functions.decode.launches[0].alternatives.push({
          kernel: "z",
          grid: [1, 1, 1],
        }),
      /kernel z/,
    ],
    [
      "an alternative with other bindings",
      "program",
      (j) =>
        j.tiers.f32.functions.decode.launches[0].alternatives.push({
          kernel: "head",
          grid: [1, 1, 1],
        }),
      /an alternative has other bindings/,
    ],
    [
      "a binding too few",
      "program",
      (j) => j.tiers.f32.functions.decode.launches[0].bindings.pop(),
      /bindings/,
    ],
    [
      "an unknown buffer",
      "program",
      (j) => (j.tiers.f32.functions.decode.launches[0].bindings[7].name = "z"),
      /binds what/,
    ],
    [
      "a written weight",
      "program",
      (j) =>
        (j.tiers.f32.functions.decode.launches[0].bindings[6] = { kind: "weight", segment: 0 }),
      /writes a weight/,
    ],
    [
      "read and write at once",
      "program",
      (j) =>
        (j.tiers.f32.functions.sample.launches[0].bindings[0] = {
          kind: "buffer",
          name: "sampled",
        }),
      /both reads and writes sampled/,
    ],
    [
      "params of another type",
      "program",
      (j) => (j.tiers.f32.functions.decode.params[0][0].dtype = "f32"),
      /param 0 is f32/,
    ],
    ["no decode", "program", (j) => delete j.tiers.f32.functions.decode, /lacks decode/],
    ["no page table", "program", (j) => j.inputs.splice(3, 1), /lacks page_table/],
    [
      "a page table too narrow",
      "program",
      (j) => (j.inputs[3].shape = ["seqs", 4]),
      /input page_table is not i32\[seqs, max_pages\]/,
    ],
    [
      "counts of another vocabulary",
      "program",
      (j) => (j.tiers.f32.buffers[3].shape[1] = 7),
      /buffer token_counts is not/,
    ],
    [
      "tokens of another type",
      "program",
      (j) => (j.inputs[0].dtype = "u32"),
      /input token_ids is not i32\[tokens\]/,
    ],
    [
      "last tokens by sequence",
      "program",
      (j) => (j.tiers.f32.buffers[0].shape = ["seqs"]),
      /buffer last_tokens is not i32\[slots\]/,
    ],
    ["no outs", "program", (j) => j.symbols.splice(2, 1), /lacks outs/],
    ["too few outs", "program", (j) => (j.symbols[2].max = 1), /outs is less than max_batch/],
    ["another chunk", "manifest", (j) => (j.limits.prefill_chunk = 4), /prefill_chunk/],
    ["no tier", "program", (j) => (j.tiers = {}), /no tier/],
    [
      "a feature the tier lacks",
      "kernels",
      (j) => j.kernels.head.features.push("shader-f16"),
      /shader-f16/,
    ],
    [
      "a tensor beyond its shard",
      "tensorCache",
      (j) => (j.records[0].records[1].byteOffset += 8),
      /ends after its shard/,
    ],
    ["shape against size", "tensorCache", (j) => (j.records[0].records[1].shape = [3]), /disagree/],
    ["an unknown shard", "tensorCache", (j) => (j.records[0].dataPath = "x.bin"), /x.bin/],
  ];
  test.each(broken)("%s is named", (_, name, edit, message) => {
    const f = edited(name, (j) => {
      edit(j);
    });
    expect(() => prepare(f)).toThrow(InvalidPack);
    expect(() => prepare(f)).toThrow(message);
  });

  test("10,000 mutated packs: named errors only", () => {
    const random = mulberry32(1);
    const good = files();
    const names = Object.keys(good) as (keyof Files)[];
    let refused = 0;
    for (let i = 0; i < 10_000; i++) {
      const name = names[i % names.length] as keyof Files;
      const f = {
        ...good,
        [name]: i % 8 < 4 ? mutateText(good[name], random) : mutateJson(good[name], random),
      };
      try {
        prepare(f);
      } catch (error) {
        if (!(error instanceof WebbuildError))
          throw new Error(`input ${i}: ${(error as Error).stack}\n${f[name]}`);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(5000);
  }, 120_000);
});

/** A small generator with a seed: the fuzz is the same on every machine. */
function mulberry32(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const pick = <T>(list: readonly T[], random: () => number): T =>
  list[Math.floor(random() * list.length)] as T;

/** Bytes removed, repeated or replaced. */
function mutateText(source: string, random: () => number): string {
  const at = Math.floor(random() * source.length);
  const n = 1 + Math.floor(random() * 20);
  const what = Math.floor(random() * 4);
  if (what === 0) return source.slice(0, at) + source.slice(at + n);
  if (what === 1)
    return source.slice(0, at) + source.slice(at, at + n).repeat(2) + source.slice(at + n);
  if (what === 2)
    return source.slice(0, at) + pick([...'{}[]",:0-9e.ntf'], random) + source.slice(at + 1);
  return source.slice(0, at);
}

const VALUES = [
  null,
  true,
  -1,
  0,
  0.5,
  7,
  2 ** 31,
  2 ** 53,
  1e308,
  "",
  "tokens",
  "__proto__",
  "toString",
  [],
  {},
  ["+", 1, "seqs"],
  ["//", 1, 0],
  ["-", 0, "pages"],
];

/** One value inside replaced, removed or copied from elsewhere. */
function mutateJson(source: string, random: () => number): string {
  const json: unknown = JSON.parse(source);
  const places: [Record<string, unknown>, string][] = [];
  const walk = (node: unknown) => {
    if (typeof node !== "object" || node === null) return;
    for (const key of Object.keys(node)) {
      places.push([node as Record<string, unknown>, key]);
      walk((node as Record<string, unknown>)[key]);
    }
  };
  walk(json);
  const [parent, key] = pick(places, random);
  const what = random();
  if (what < 0.2) delete parent[key];
  else if (what < 0.4) {
    const [other, otherKey] = pick(places, random);
    parent[key] = structuredClone(other[otherKey]);
  } else parent[key] = pick(VALUES, random);
  return JSON.stringify(json);
}
