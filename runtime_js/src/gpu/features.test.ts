import { describe, expect, it } from "vitest";
import { F32_MATRICES, hasFeature, kernelFeatures, NARROW, webgpuFeatures } from "./features.js";

const APPLE = { componentType: "f32", resultComponentType: "f32", M: 8, N: 8, K: 8 };
const MATRICES = "chromium-experimental-subgroup-matrix";

function adapter(info: object, features = ["subgroups", MATRICES]) {
  return { features: new Set(features), info } as unknown as GPUAdapter;
}

describe("matrices of f32", () => {
  it("are there where an adapter has the feature and the configuration", () => {
    const has = kernelFeatures(
      adapter({ subgroupMaxSize: 32, subgroupMatrixConfigs: [{ ...APPLE, M: 16 }, APPLE] }),
    );
    expect([...has].sort()).toEqual([MATRICES, F32_MATRICES, "subgroups"].sort());
  });

  it.each([
    ["no configurations", { subgroupMaxSize: 32 }],
    ["other sizes", { subgroupMaxSize: 32, subgroupMatrixConfigs: [{ ...APPLE, K: 16 }] }],
    ["f16", { subgroupMaxSize: 32, subgroupMatrixConfigs: [{ ...APPLE, componentType: "f16" }] }],
    ["large subgroups", { subgroupMaxSize: 64, subgroupMatrixConfigs: [APPLE] }],
    ["subgroups of unknown size", { subgroupMatrixConfigs: [APPLE] }],
  ])("are not there with %s", (_, info) => {
    expect(kernelFeatures(adapter(info)).has(F32_MATRICES)).toBe(false);
  });

  it("are not there without the feature", () => {
    const info = { subgroupMaxSize: 32, subgroupMatrixConfigs: [APPLE] };
    expect(kernelFeatures(adapter(info, ["subgroups"])).has(F32_MATRICES)).toBe(false);
    expect(kernelFeatures(adapter(info, [MATRICES])).has(F32_MATRICES)).toBe(false);
  });

  it("are asked for by WebGPU's names", () => {
    const names = webgpuFeatures(["shader-f16", "subgroups", F32_MATRICES]);
    expect(names).toEqual(["shader-f16", "subgroups", MATRICES]);
    const device = { features: new Set(names) } as unknown as GPUDevice;
    expect(hasFeature(device, F32_MATRICES)).toBe(true);
    expect(hasFeature({ features: new Set(["subgroups"]) } as never, F32_MATRICES)).toBe(false);
  });
});

describe("narrow subgroups", () => {
  it.each([
    [8, true],
    [16, true],
    [32, false],
    [4, false],
    [undefined, false],
  ])("of at least %s invocations: %s", (subgroupMinSize, narrow) => {
    expect(kernelFeatures(adapter({ subgroupMinSize })).has(NARROW)).toBe(narrow);
    expect(kernelFeatures(adapter({ subgroupMinSize }, [])).has(NARROW)).toBe(false);
  });

  it("are nothing that a device is asked for, or lacks", () => {
    expect(webgpuFeatures(["subgroups", NARROW])).toEqual(["subgroups"]);
    expect(hasFeature({ features: new Set() } as never, NARROW)).toBe(true);
  });
});
