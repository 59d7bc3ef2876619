// From a report to what is shown of it: plots are lists of bars, the table is a list of rows.

import type { BenchReport, CaseReport, SubjectReport } from "webbuild/bench";
import { bytes } from "../format.js";

export interface Bar {
  label: string;
  value: number;
  text: string;
}

export interface Plot {
  title: string;
  /** What the bars mean, in a sentence. */
  note: string;
  bars: Bar[];
  /** The value of a bar of full width. */
  full: number;
}

export interface Row {
  name: string;
  cells: string[];
}

/** Kernels drawn apart; the rest is one bar. */
const MOST_KERNELS = 9;

/** Parts of a load in the order in which they begin. */
const LOAD_PARTS: Readonly<Record<string, string>> = {
  fetch_ms: "Network",
  store_ms: "Browser storage",
  hash_ms: "Hashing",
  upload_ms: "Moving to the GPU",
  compile_ms: "Compiling kernels",
  compile_tail_ms: "… of it after the last byte",
  warmup_ms: "Warming up",
};

/** The side that a page measures. */
export function sideOf(report: BenchReport): SubjectReport {
  return report.subjects["a"] as SubjectReport;
}

/** All plots that the report has figures for. */
export function plotsOf(report: BenchReport): Plot[] {
  const side = sideOf(report);
  return [
    rates("Decode", "Tokens per second, by tokens in the context.", side.cases, (c) => [
      c.context,
      c.decode_tokens_per_s,
    ]),
    rates("Prefill", "Tokens per second, by the length of the prompt.", side.cases, (c) => [
      c.prompt,
      c.prefill_tokens_per_s,
    ]),
    bandwidth(side),
    kernels(side),
    ...side.loads.map(load),
  ].filter(({ bars }) => bars.length > 0);
}

function rates(
  title: string,
  note: string,
  cases: readonly CaseReport[],
  point: (found: CaseReport) => [tokens: number, rate: number | null],
): Plot {
  const points = cases.map(point).sort(([a], [b]) => a - b);
  const bars = points.flatMap(([tokens, rate]) =>
    rate === null
      ? []
      : [{ label: integer(tokens), value: rate, text: `${figures(rate)} tokens/s` }],
  );
  return plot(title, note, bars);
}

function bandwidth({ bandwidth, cases }: SubjectReport): Plot {
  const most = bandwidth?.copy_bytes_per_s ?? 0;
  const bars = [...cases]
    .sort((a, b) => a.context - b.context)
    .flatMap(({ context, bytes_per_s: rate }) =>
      rate === null || most === 0
        ? []
        : [
            {
              label: integer(context),
              value: rate / most,
              text: `${percent(rate / most)}, ${bytes(rate)}/s`,
            },
          ],
    );
  const note = `Bytes read and written while decoding, by tokens in the context, as a share of the ${bytes(most)}/s that a copying kernel reads and writes here.`;
  return { ...plot("Use of the memory", note, bars), full: Math.max(1, ...bars.map(value)) };
}

function kernels({ profile, bandwidth }: SubjectReport): Plot {
  const title = "GPU time of a decode step";
  if (!profile) return plot(title, "", []);
  const all = kernelTimes(profile.launches);
  const shown = all.slice(0, MOST_KERNELS);
  const rest = all.slice(MOST_KERNELS);
  const bars = shown.map(({ kernel, ms, launches, nbytes }): Bar => {
    const rate = nbytes === null || ms === 0 ? null : (nbytes / ms) * 1000;
    const share =
      rate === null || !bandwidth ? "" : ` · ${percent(rate / bandwidth.copy_bytes_per_s)}`;
    return { label: `${kernel} × ${launches}`, value: ms, text: `${figures(ms)} ms${share}` };
  });
  if (rest.length > 0) {
    const ms = rest.reduce((sum, kernel) => sum + kernel.ms, 0);
    bars.push({ label: `${rest.length} others`, value: ms, text: `${figures(ms)} ms` });
  }
  const whole = profile.pass_ms === null ? "" : `, ${figures(profile.pass_ms)} ms as one pass`;
  const note = `By kernel and number of launches, at a context of ${integer(profile.context)}, by timestamps: ${figures(profile.launch_ms)} ms in launches${whole}. The percentage is of the copying kernel’s bytes per second.`;
  return plot(title, note, bars);
}

/** Time and bytes of all launches of each kernel, the longest first. */
export function kernelTimes(
  launches: readonly { kernel: string; ms: number; nbytes: number | null }[],
): { kernel: string; launches: number; ms: number; nbytes: number | null }[] {
  const found = new Map<string, ReturnType<typeof kernelTimes>[number]>();
  for (const { kernel, ms, nbytes } of launches) {
    const total = found.get(kernel) ?? { kernel, launches: 0, ms: 0, nbytes: 0 };
    total.launches++;
    total.ms += ms;
    total.nbytes = total.nbytes === null || nbytes === null ? null : total.nbytes + nbytes;
    found.set(kernel, total);
  }
  return [...found.values()].sort((a, b) => b.ms - a.ms);
}

function load({ start, total_ms, parts }: SubjectReport["loads"][number]): Plot {
  const from = start === "cold" ? "over the network" : "from this device’s cache";
  const bars = Object.entries(parts ?? {}).flatMap(([part, ms]) =>
    !part.endsWith("_ms") || part === "total_ms" || ms === 0
      ? []
      : [{ label: LOAD_PARTS[part] ?? part, value: ms, text: milliseconds(ms) }],
  );
  const order = Object.values(LOAD_PARTS);
  bars.sort((a, b) => order.indexOf(a.label) - order.indexOf(b.label));
  const nbytes = (parts?.["network_bytes"] ?? 0) + (parts?.["cache_bytes"] ?? 0);
  const note = `${milliseconds(total_ms)} for ${bytes(nbytes)} ${from}. Parts run side by side: they add up to more.`;
  return plot(start === "cold" ? "Load over the network" : "Load from the cache", note, bars);
}

function plot(title: string, note: string, bars: Bar[]): Plot {
  return { title, note, bars, full: Math.max(Number.MIN_VALUE, ...bars.map(value)) };
}

const value = (bar: Bar): number => bar.value;

/** What was measured, a column for each case. Rates are of the best round, bytes and calls per decoded token. */
export function tableOf(report: BenchReport): { columns: string[]; rows: Row[] } {
  const { cases, bandwidth } = sideOf(report);
  const row = (
    name: string,
    cell: (found: CaseReport) => number | null | undefined,
    text = figures,
  ): Row => ({
    name,
    cells: cases.map((found) => {
      const number = cell(found);
      return number == null ? "–" : text(number);
    }),
  });
  const copied = bandwidth?.copy_bytes_per_s;
  const share = (rate: number | null) => (rate === null || !copied ? null : rate / copied);
  return {
    columns: cases.map(({ context, start }) =>
      start === 0 ? `prompt ${integer(context)}` : integer(context),
    ),
    rows: [
      row("Prefill, tokens/s", (c) => c.prefill_tokens_per_s),
      row("Decode, tokens/s", (c) => c.decode_tokens_per_s),
      row("ms per token", (c) => 1000 / c.decode_tokens_per_s),
      row("JavaScript, ms per token", (c) => c.js_ms_per_token),
      row("Launches", (c) => c.per_token?.launches),
      row("Submits", (c) => c.per_token?.submits),
      row("Buffer writes", (c) => c.per_token?.write_buffers),
      row("Bytes read", (c) => c.bytes_read_per_token, bytes),
      row("Bytes written", (c) => c.bytes_written_per_token, bytes),
      row("Bytes per second", (c) => c.bytes_per_s, bytes),
      row("Share of the copying kernel’s", (c) => share(c.bytes_per_s), percent),
    ],
  };
}

const integer = (n: number): string => n.toLocaleString("en");

/** Three significant digits; integers whole. */
export function figures(n: number): string {
  if (Number.isInteger(n) || Math.abs(n) >= 99.95) return integer(Math.round(n));
  return n.toLocaleString("en", { maximumSignificantDigits: 3, minimumSignificantDigits: 3 });
}

export function percent(share: number): string {
  return `${figures(100 * share)} %`;
}

function milliseconds(ms: number): string {
  return ms < 1000 ? `${figures(ms)} ms` : `${figures(ms / 1000)} s`;
}
