/** Benchmarks of the tiny pack on Dawn: what is counted, what is timed, and that nothing is left behind. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { InvalidRequestError } from "../errors.js";
import { dawn } from "../testing/host.js";
import { tinyPack } from "../testing/tiny_pack.js";
import { connectClient } from "../worker/client.js";
import { type Channel, runAgent } from "./agent.js";
import { serveBenchInline } from "./bench_inline.js";
import { Busy } from "./busy.js";
import { fixedTokens } from "./generation.js";
import type { Generation, LoadReport, ProfiledStep } from "./types.js";

const CONTEXT = 24;

let folder: string;
let url: string;
let call: (method: string, args: unknown) => Promise<unknown>;
let stop: () => void;
let report: LoadReport;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "bench-"));
  for (const [name, bytes] of tinyPack()) writeFileSync(join(folder, name), bytes);
  url = `${pathToFileURL(folder).href}/`;
  const inline = serveBenchInline(await dawn());
  stop = inline.stop;
  const client = await connectClient(inline.port, new Promise<never>(() => {}));
  const calls = client.call as unknown as Record<string, (args: unknown) => Promise<unknown>>;
  call = (method, args) => (calls[method] as (args: unknown) => Promise<unknown>)(args);
  report = (await call("load", { url, contextLength: CONTEXT, cache: false })) as LoadReport;
});

afterAll(() => {
  stop();
  rmSync(folder, { recursive: true });
});

const generate = (start: number, prompt: number, tokens: number) =>
  call("generate", { start, prompt, tokens }) as Promise<Generation>;

describe("a load", () => {
  test("has parts, none longer than the whole, and all bytes", () => {
    const { parts, total } = report;
    const { networkBytes, cacheBytes, ...times } = parts ?? ({} as never);
    for (const [name, ms] of Object.entries(times)) {
      expect(ms, name).toBeGreaterThanOrEqual(0);
      expect(ms, name).toBeLessThanOrEqual(total);
    }
    for (const part of ["fetch", "hash", "compile", "warmup"]) expect(times).toHaveProperty(part);
    expect(times.fetch * times.hash * times.compile * times.warmup).toBeGreaterThan(0);
    const bytes = [...tinyPack().values()].reduce((n, file) => n + file.length, 0);
    expect([networkBytes, cacheBytes]).toEqual([bytes, 0]);
  });
});

describe("a generation", () => {
  test("counts its decode steps: one submit and one write each, the program's launches", async () => {
    const { detail, ...totals } = await generate(0, 5, 7);
    expect(totals).toMatchObject({ promptTokens: 5, completionTokens: 7 });
    expect(totals.prefill).toBeGreaterThan(0);
    expect(totals.decode).toBeGreaterThan(0);
    const { decode, sample } = report.info.launches as { decode: number; sample: number };
    expect(detail?.decodeCounts).toEqual({
      steps: 6,
      submits: 6,
      writeBuffers: 6,
      launches: 6 * (decode + sample),
      createdBuffers: 0,
      createdBindGroups: 0,
    });
    expect(detail?.steps.map(({ tokens }) => tokens)).toEqual([5, 1, 1, 1, 1, 1, 1]);
    expect(detail?.arrivals).toHaveLength(7);
    expect(detail?.jsPerToken).toBeGreaterThan(0);
    for (const { begin, end } of detail?.steps ?? []) expect(end).toBeGreaterThanOrEqual(begin);
  });

  test("begins in a context that nobody prefilled, up to its last token", async () => {
    const { detail } = await generate(CONTEXT - 4, 1, 3);
    expect(detail?.decodeCounts.steps).toBe(2);
    expect(detail?.steps.map(({ tokens }) => tokens)).toEqual([1, 1, 1]);
  });

  test("gives all pages back, and is repeatable", async () => {
    for (let i = 0; i < 3; i++) {
      expect((await generate(0, CONTEXT - 2, 2)).completionTokens).toBe(2);
    }
  });

  test.each([
    [0, 1, 1],
    [0, 0, 2],
    [0, CONTEXT, 2],
    [CONTEXT, 1, 2],
  ])("start %i, prompt %i, tokens %i is refused by name", async (start, prompt, tokens) => {
    await expect(generate(start, prompt, tokens)).rejects.toBeInstanceOf(InvalidRequestError);
  });

  test("reads the same tokens in every build, all in the vocabulary", () => {
    const ids = fixedTokens(1000, 331);
    expect([...ids.subarray(0, 3)]).toEqual([13, 7932 % 331, 15851 % 331]);
    expect(Math.max(...ids)).toBeLessThan(331);
    expect(new Set(ids).size).toBeGreaterThan(300);
  });
});

describe("a profile", () => {
  const what = { start: 0, prompt: 3, tokens: 4 };

  test("names every launch of every step, in order", async () => {
    if (!report.timestamps)
      return expect(report.info.adapter.features).not.toContain("timestamp-query");
    const steps = (await call("profile", { what, mode: "launch" })) as ProfiledStep[];
    expect(steps.map(({ tokens }) => tokens)).toEqual([3, 1, 1, 1]);
    const { prefill, decode, sample } = report.info.launches as Record<string, number>;
    expect(steps.map(({ launches }) => launches.length)).toEqual(
      [prefill, decode, decode, decode].map((n) => (n as number) + (sample as number)),
    );
    for (const { launches } of steps) {
      for (const { label, kernel, begin, end } of launches) {
        expect(label).not.toBe("");
        expect(kernel).not.toBe("");
        expect(end).toBeGreaterThanOrEqual(begin);
      }
    }
  });

  test("of whole passes has one per step, and leaves the device as it was", async () => {
    if (!report.timestamps) return expect(report.timestamps).toBe(false);
    const steps = (await call("profile", { what, mode: "pass" })) as ProfiledStep[];
    expect(steps.map(({ launches }) => launches.length)).toEqual([1, 1, 1, 1]);
    const { detail } = await generate(0, 3, 4);
    expect(detail?.decodeCounts).toMatchObject({ steps: 3, submits: 3, createdBuffers: 0 });
  });
});

test("bandwidth is positive", async () => {
  const { copy, read } = (await call("bandwidth", 16 << 20)) as { copy: number; read: number };
  expect(Math.min(copy, read)).toBeGreaterThan(0);
});

test("Busy is the union of what overlaps", async () => {
  const busy = new Busy();
  expect(busy.total).toBe(0);
  const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  const began = performance.now();
  await Promise.all([busy.during(wait(30)), busy.during(wait(30)), busy.during(wait(20))]);
  expect(busy.total).toBeGreaterThanOrEqual(20);
  expect(busy.total).toBeLessThanOrEqual(performance.now() - began);
  const before = busy.total;
  expect(() =>
    busy.sync(() => {
      throw new Error("out");
    }),
  ).toThrow("out");
  await wait(5);
  expect(busy.total - before).toBeLessThan(5);
});

test("the agent answers commands in their order, failures by name", async () => {
  const answers: { id: number; result?: unknown; error?: { name: string } }[] = [];
  let arrive: (message: unknown) => void = () => {};
  const done = new Promise<void>((resolve) => {
    const channel: Channel = {
      send: (message) => {
        answers.push(message as (typeof answers)[number]);
        if (answers.length === 2) resolve();
      },
      listen: (listener) => {
        arrive = listener;
      },
    };
    runAgent(channel);
  });
  arrive({ id: 1, method: "generate", args: { subject: "z", what: {} } });
  arrive({ id: 2, method: "describe", args: null });
  await done;
  expect(answers[0]).toMatchObject({ id: 1, error: { name: "InvalidRequestError" } });
  expect(answers[1]).toMatchObject({ id: 2, result: { version: 1 } });
});
