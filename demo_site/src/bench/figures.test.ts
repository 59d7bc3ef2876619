import { describe, expect, test } from "vitest";
import type { BenchReport, SubjectReport } from "webbuild/bench";
import { figures, kernelTimes, percent, plotsOf, tableOf } from "./figures.js";

type Case = SubjectReport["cases"][number];

const measured: Case = {
  start: 0,
  prompt: 128,
  tokens: 32,
  context: 128,
  prefill_tokens_per_s: 1570.4,
  decode_tokens_per_s: 40,
  js_ms_per_token: 0.25,
  bytes_read_per_token: 20_000_000,
  bytes_written_per_token: 5_000_000,
  bytes_needed_per_token: 19_000_000,
  bytes_per_s: 1e9,
  per_token: {
    launches: 34,
    submits: 1,
    write_buffers: 1,
    created_buffers: 0,
    created_bind_groups: 0,
  },
  rounds: [{ prompt_tokens: 128, completion_tokens: 32, prefill_ms: 81.5, decode_ms: 775 }],
};

const launch = (kernel: string, ms: number, nbytes: number | null = 1000) => ({
  label: `layers.0.${kernel}`,
  kernel,
  ms,
  nbytes,
});

const side: SubjectReport = {
  place: "page",
  where: "Chrome/150",
  adapter: { vendor: "v", architecture: "a", description: "" },
  pack: "https://example.org/pack/",
  runtime: null,
  model: "toy",
  quantization: "q4f16_1",
  tier: "f16",
  context_length: 2048,
  gpu_bytes: 1,
  launches: { decode: 32, sample: 2 },
  timestamps: true,
  bandwidth: { nbytes: 64, copy_bytes_per_s: 4e9, read_bytes_per_s: 3e9 },
  loads: [
    {
      start: "cold",
      total_ms: 4200,
      parts: { total_ms: 4200, warmup_ms: 20, fetch_ms: 242.4, store_ms: 0, network_bytes: 4e6 },
    },
  ],
  cases: [
    {
      ...measured,
      start: 1023,
      prompt: 1,
      context: 1024,
      prefill_tokens_per_s: null,
      decode_tokens_per_s: 20,
    },
    measured,
  ],
  profile: {
    context: 128,
    steps: 5,
    pass_ms: 2.5,
    launch_ms: 4,
    attributed: 1,
    launches: [launch("gemv", 1), launch("attention", 0.5), launch("gemv", 2.5)],
  },
};

const report = (a: SubjectReport): BenchReport => ({
  format_version: 2,
  method: "engine",
  order: ["a"],
  subjects: { a },
  b_over_a: [],
});

const plot = (a: SubjectReport, title: string) =>
  plotsOf(report(a)).find((found) => found.title === title);

describe("plots", () => {
  test("of rates go by length, whatever the order of the cases", () => {
    expect(plot(side, "Decode")).toMatchObject({
      bars: [
        { label: "128", value: 40, text: "40 tokens/s" },
        { label: "1,024", value: 20, text: "20 tokens/s" },
      ],
      full: 40,
    });
    expect(plot(side, "Prefill")?.bars).toEqual([
      { label: "128", value: 1570.4, text: "1,570 tokens/s" },
    ]);
  });

  test("of the memory are shares of what a copy reaches", () => {
    expect(plot(side, "Use of the memory")).toMatchObject({
      bars: [
        { label: "128", value: 0.25, text: "25 %, 1.00 GB/s" },
        { label: "1,024", value: 0.25 },
      ],
      full: 1,
    });
  });

  test("of kernels add up their launches, the longest first", () => {
    expect(plot(side, "GPU time of a decode step")?.bars).toEqual([
      { label: "gemv × 2", value: 3.5, text: "3.50 ms · 0.0143 %" },
      { label: "attention × 1", value: 0.5, text: "0.500 ms · 0.0500 %" },
    ]);
    const launches = Array.from({ length: 12 }, (_, i) => launch(`k${i}`, i + 1, null));
    const many = { ...side, profile: { ...side.profile, launches } } as SubjectReport;
    const bars = plot(many, "GPU time of a decode step")?.bars ?? [];
    expect(bars).toHaveLength(10);
    expect(bars[0]).toEqual({ label: "k11 × 1", value: 12, text: "12 ms" });
    expect(bars.at(-1)).toEqual({ label: "3 others", value: 6, text: "6 ms" });
  });

  test("of a load have the parts that took time, in order", () => {
    const load = plot(side, "Load over the network");
    expect(load?.bars.map(({ label, text }) => [label, text])).toEqual([
      ["Network", "242 ms"],
      ["Warming up", "20 ms"],
    ]);
    expect(load?.note).toContain("4.20 s for 4.00 MB over the network");
  });

  test("without figures are left out", () => {
    const bare = {
      ...side,
      bandwidth: null,
      profile: null,
      loads: [{ start: "cached" as const, total_ms: 1, parts: null }],
      cases: side.cases.slice(0, 1),
    };
    expect(plotsOf(report(bare)).map(({ title }) => title)).toEqual(["Decode"]);
  });
});

test("bytes of a kernel are unknown when those of one launch are", () => {
  expect(kernelTimes([launch("a", 1), launch("a", 2, null)])).toEqual([
    { kernel: "a", launches: 2, ms: 3, nbytes: null },
  ]);
});

test("the table has a column for each case, and a dash for what is not known", () => {
  const { columns, rows } = tableOf(report(side));
  expect(columns).toEqual(["1,024", "prompt 128"]);
  const cells = Object.fromEntries(rows.map(({ name, cells }) => [name, cells]));
  expect(cells["Prefill, tokens/s"]).toEqual(["–", "1,570"]);
  expect(cells["ms per token"]).toEqual(["50", "25"]);
  expect(cells["Submits"]).toEqual(["1", "1"]);
  expect(cells["Bytes read"]).toEqual(["20.0 MB", "20.0 MB"]);
  expect(cells["Share of the copying kernel’s"]).toEqual(["25 %", "25 %"]);
  for (const { cells } of rows) expect(cells).toHaveLength(columns.length);
});

test.each([
  [0, "0"],
  [34, "34"],
  [0.03544, "0.0354"],
  [12.345, "12.3"],
  [1570.4, "1,570"],
])("%d is written %s", (n, text) => expect(figures(n)).toBe(text));

test("shares", () => expect(percent(0.2334)).toBe("23.3 %"));
