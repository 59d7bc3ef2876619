import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Kernel, KernelRecord } from "../generated/kernels.js";
import type { Tier } from "../generated/program.js";
import { tinyKernels, tinyProgram } from "../testing/tiny_pack.js";
import { chooseKernels } from "./choose_kernels.js";
import { adapterKind, adviceOf, shapeDistance } from "./records.js";

interface Case {
  name: string;
  alternatives: string[];
  features?: string[];
  software?: boolean;
  adapter?: [string, string];
  records?: [string, string, KernelRecord["tier"], string, string][];
  expected: string;
}

/** The table that the native executor is held to, too. */
const table = JSON.parse(
  readFileSync(new URL("../testing/kernel_choice.json", import.meta.url), "utf8"),
) as {
  adapters: { name: string; info: [string, string, string, string]; kind: [string, string] }[];
  key: string;
  kernels: Record<string, Partial<Kernel>>;
  cases: Case[];
};

const kernels = Object.fromEntries(
  Object.entries(table.kernels).map(([name, part]) => [
    name,
    { ...(tinyKernels().kernels.append as Kernel), name, tuning_key: table.key, ...part },
  ]),
);

describe("adapterKind", () => {
  it.each(table.adapters)("$name", ({ info, kind }) => {
    const [vendor, architecture, device, description] = info;
    const found = adapterKind({ vendor, architecture, device, description });
    expect([found.vendor, found.architecture]).toEqual(kind);
  });
});

describe("chooseKernels", () => {
  it.each(table.cases)("$name", (given) => {
    const tier = structuredClone(tinyProgram().tiers.f32) as unknown as Tier;
    const decode = tier.functions.decode as Tier["functions"][string];
    decode.launches = decode.launches.slice(0, 1).map((launch) => ({
      ...launch,
      kernel: "plain",
      grid: [1, 1, 1],
      alternatives: given.alternatives.map((kernel, i) => ({ kernel, grid: [i + 2, 1, 1] })),
    }));
    const [vendor, architecture] = given.adapter ?? ["acme", "one"];
    const records = (given.records ?? []).map(
      ([vendor, architecture, tier, key, tuning]): KernelRecord => ({
        vendor,
        architecture,
        tier,
        key,
        tuning,
      }),
    );
    const has = { features: new Set(given.features), software: given.software ?? false };
    const advice = adviceOf(records, { vendor, architecture }, "f32", kernels);
    const result = chooseKernels({ ...tier, functions: { decode } }, kernels, has, advice);
    const launch = result.functions.decode?.launches[0];
    const at = given.alternatives.indexOf(given.expected);
    expect([launch?.kernel, launch?.grid[0], launch?.alternatives]).toEqual([
      given.expected,
      at + 2, // -1: its own, whose grid is 1
      [],
    ]);
  });
});

describe("shapeDistance", () => {
  it("compares shapes of one variant", () => {
    expect(shapeDistance("gemv N=4 K=8", "gemv N=4 K=8")).toBe(1);
    expect(shapeDistance("gemv N=4 K=8", "gemv N=8 K=4")).toBe(4);
    expect(shapeDistance("gemv N=4 K=8", "gemm N=4 K=8")).toBeUndefined();
    expect(shapeDistance("gemv N=4 K=8", "gemv N=4 D=8")).toBeUndefined();
    expect(shapeDistance("gemv N=4", "gemv N=4 K=8")).toBeUndefined();
  });
});
