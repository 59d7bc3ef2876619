import { describe, expect, it } from "vitest";
import type { Kernel } from "../generated/kernels.js";
import type { Tier } from "../generated/program.js";
import { tinyKernels, tinyProgram } from "../testing/tiny_pack.js";
import { chooseKernels } from "./choose_kernels.js";

const kernel = (part: Partial<Kernel>): Kernel => ({
  ...(tinyKernels().kernels.append as Kernel),
  ...part,
});
const kernels: Record<string, Kernel> = {
  plain: kernel({ name: "plain" }),
  subgroups: kernel({ name: "subgroups", features: ["subgroups"] }),
  wide: kernel({ name: "wide" }),
  cpu: kernel({ name: "cpu", suits: "cpu" }),
};

function chosen(alternatives: string[], features: string[], software: boolean) {
  const tier = structuredClone(tinyProgram().tiers.f32) as unknown as Tier;
  const decode = tier.functions.decode as Tier["functions"][string];
  decode.launches = decode.launches.slice(0, 1).map((launch) => ({
    ...launch,
    kernel: "plain",
    grid: [1, 1, 1],
    alternatives: alternatives.map((name, i) => ({ kernel: name, grid: [i + 2, 1, 1] })),
  }));
  const result = chooseKernels({ ...tier, functions: { decode } }, kernels, {
    features: new Set(features),
    software,
  });
  const launch = result.functions.decode?.launches[0];
  return [launch?.kernel, launch?.grid[0], launch?.alternatives.length];
}

describe("chooseKernels", () => {
  it("takes the launch's own kernel where there is no other", () => {
    expect(chosen([], ["subgroups"], false)).toEqual(["plain", 1, 0]);
    expect(chosen([], [], true)).toEqual(["plain", 1, 0]);
  });
  it("takes the first alternative whose features the adapter has, with its grid", () => {
    expect(chosen(["subgroups", "wide"], ["subgroups"], false)).toEqual(["subgroups", 2, 0]);
    expect(chosen(["subgroups", "wide"], [], false)).toEqual(["wide", 3, 0]);
    expect(chosen(["subgroups"], [], false)).toEqual(["plain", 1, 0]);
  });
  it("keeps kernels for software adapters to these", () => {
    expect(chosen(["subgroups", "cpu"], ["subgroups"], true)).toEqual(["cpu", 3, 0]);
    expect(chosen(["cpu"], ["subgroups"], false)).toEqual(["plain", 1, 0]);
  });
  it("falls back on the launch's own kernel on a software adapter", () => {
    expect(chosen(["subgroups", "wide"], ["subgroups"], true)).toEqual(["plain", 1, 0]);
  });
});
