/** Whole benchmarks of the tiny pack on Dawn, what they are planned from, and what they count. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { AbortError, DeviceLostError, InvalidRequestError, MissingFile } from "../errors.js";
import { type Model, readModel } from "../program/check.js";
import { dawn, watched } from "../testing/host.js";
import { tinyPack } from "../testing/tiny_pack.js";
import { measureBandwidth } from "./bandwidth.js";
import { benchCases } from "./cases.js";
import { type MeasureProgress, measurePack } from "./measure.js";
import { decodeTraffic } from "./traffic.js";

let folder: string;
let pack: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "measure-"));
  for (const [name, bytes] of tinyPack()) writeFileSync(join(folder, name), bytes);
  pack = `${pathToFileURL(folder).href}/`;
});

afterAll(() => rmSync(folder, { recursive: true }));

describe("cases", () => {
  const lengths = (...args: Parameters<typeof benchCases>) =>
    benchCases(...args).map(({ start, prompt, tokens }) => [start, prompt, tokens]);

  test("are the usual prompts, clipped to the context, each once", () => {
    expect(lengths(8192)).toEqual([128, 1024, 4096].map((prompt) => [0, prompt, 32]));
    expect(lengths(2048)).toEqual([128, 1024, 2016].map((prompt) => [0, prompt, 32]));
    expect(lengths(40)).toEqual([[0, 8, 32]]);
  });

  test("reach a context without prefill, unless a prompt does", () => {
    expect(lengths(64, { prompts: [], contexts: [12] })).toEqual([[11, 1, 32]]);
    expect(lengths(64, { prompts: [8], contexts: [8, 12, 12], tokens: 2 })).toEqual([
      [0, 8, 2],
      [11, 1, 2],
    ]);
  });

  test.each([
    [{ tokens: 1 }, "at least 2"],
    [{ tokens: 64 }, "no room for a prompt"],
    [{ prompts: [33] }, "prompts 33: it can be 1 to 32"],
    [{ contexts: [0] }, "contexts 0"],
    [{ prompts: [1.5] }, "prompts 1.5"],
  ])("%j are refused by name", (options, says) => {
    expect(() => benchCases(64, options)).toThrow(InvalidRequestError);
    expect(() => benchCases(64, options)).toThrow(says);
  });
});

describe("traffic", () => {
  const model = (): Model => {
    const file = (name: string) => readFileSync(join(folder, name));
    const files = {
      program: file("program.json"),
      kernels: file("kernels.json"),
      tensorCache: file("tensor-cache.json"),
    };
    return readModel(files, JSON.parse(file("pack.json").toString()));
  };

  test("reads every weight once, and keys and values as far as the context reaches", () => {
    const whole = model();
    const { program } = whole;
    const [tier] = Object.keys(program.tiers) as [string];
    const [at8, at9] = [8, 9].map((context) => decodeTraffic(whole, tier, context));
    const nbytes = program.segments.map((s) => s.nbytes * (s.transform === "f16_to_f32" ? 2 : 1));
    expect(at8?.weights).toBe(nbytes.reduce((sum, n) => sum + n, 0));
    const kv = program.tiers[tier]?.buffers.filter(({ name }) => name.startsWith("kv_")) ?? [];
    expect(at9?.kv).toBe(((at8?.kv ?? 0) * 9) / 8);
    expect(at8?.kv).toBe(8 * 4 * kv.length);
    const launches = ["decode", "sample"].flatMap(
      (name) => program.tiers[tier]?.functions[name]?.launches ?? [],
    );
    expect(at8?.launches.map(({ label }) => label)).toEqual(launches.map(({ label }) => label));
  });

  test("of a launch that is there twice counts twice, its weights are needed once", () => {
    const whole = model();
    const [name] = Object.keys(whole.program.tiers) as [string];
    const once = decodeTraffic(whole, name, 8);
    const tier = structuredClone(whole.tier(name));
    const launches = tier.functions["decode"]?.launches ?? [];
    launches.push(structuredClone(launches[0] as (typeof launches)[number]));
    const twice = decodeTraffic({ ...whole, tier: () => tier }, name, 8);
    expect(twice.read - once.read).toBe(once.launches[0]?.read);
    expect(twice.weights).toBe(once.weights);
  });
});

describe("a benchmark", () => {
  const cases = benchCases(24, { prompts: [4], contexts: [12], tokens: 3 });

  test("reports every case, and its progress", async () => {
    const heard: MeasureProgress[] = [];
    const report = await measurePack(pack, {
      cases,
      rounds: 2,
      gpu: await dawn(),
      onProgress: (progress) => heard.push(progress),
    });
    const { a } = report.subjects;
    expect(report).toMatchObject({ format_version: 2, method: "engine", order: ["a", "a"] });
    expect(a?.place).toBe("page");
    expect(a?.context_length).toBe(15);
    expect(a?.cases.map(({ start, prompt, rounds }) => [start, prompt, rounds.length])).toEqual([
      [0, 4, 2],
      [11, 1, 2],
    ]);
    for (const found of a?.cases ?? []) {
      expect(found.per_token).toMatchObject({ submits: 1, write_buffers: 1, created_buffers: 0 });
      expect(found.decode_tokens_per_s).toBeGreaterThan(0);
      expect(found.bytes_read_per_token).toBeGreaterThan(0);
    }
    expect(Math.min(a?.bandwidth?.copy_bytes_per_s ?? 0)).toBeGreaterThan(0);
    expect(a?.profile !== null).toBe(a?.timestamps);
    // A Node process keeps packs in its memory only, so there is no second load.
    expect(a?.loads.map(({ start }) => start)).toEqual(["cold"]);

    const phases = [...new Set(heard.map(({ phase }) => phase))];
    expect(phases).toEqual(["load", "generate", "profile", "bandwidth"]);
    expect(heard.at(-1)).toMatchObject({ done: 10, total: 10 });
    const counts = heard.map(({ done }) => done);
    expect(counts).toEqual([...counts].sort((x, y) => x - y));
  });

  test("ends at once when it is aborted, wherever it is", async () => {
    for (const phase of ["load", "generate", "bandwidth"]) {
      const controller = new AbortController();
      const running = measurePack(pack, {
        cases,
        gpu: await dawn(),
        signal: controller.signal,
        onProgress: (progress) => {
          if (progress.phase === phase) controller.abort();
        },
      });
      await expect(running, phase).rejects.toBeInstanceOf(AbortError);
    }
    const signal = AbortSignal.abort();
    await expect(measurePack(pack, { cases, signal })).rejects.toBeInstanceOf(AbortError);
  });

  test.each(["generate", "profile"])("names a device that is lost in phase %s", async (phase) => {
    const { gpu, devices } = watched(await dawn());
    const onProgress = (progress: MeasureProgress) => {
      if (progress.phase === phase) devices[0]?.destroy();
    };
    const running = measurePack(pack, { cases, gpu, onProgress });
    await expect(running).rejects.toMatchObject({ name: "DeviceLostError" });
  });

  test("names a device that is lost while its memory is measured", async () => {
    const { gpu, devices } = watched(await dawn());
    const measuring = measureBandwidth(gpu, 16 << 20);
    await vi.waitFor(() => expect(devices).toHaveLength(1), { interval: 1 });
    devices[0]?.destroy();
    await expect(measuring).rejects.toBeInstanceOf(DeviceLostError);
  });

  test("fails by name", async () => {
    const gpu = await dawn();
    const nowhere = pathToFileURL(join(folder, "nowhere/")).href;
    await expect(measurePack(nowhere, { cases, gpu })).rejects.toBeInstanceOf(MissingFile);
    await expect(measurePack(pack, { cases: [], gpu })).rejects.toThrow("no case");
    await expect(measurePack(pack, { cases, rounds: 0, gpu })).rejects.toThrow("rounds 0");
    const long = [{ start: 0, prompt: 10_000, tokens: 2 }];
    await expect(measurePack(pack, { cases: long, gpu })).rejects.toThrow("contextLength");
  });
});
