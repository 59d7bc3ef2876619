/** From what the engine answers to a report: the file that `webbuild bench` writes, and the rules of its report.py. */
import type {
  BenchReport,
  CaseReport,
  LoadReport as LoadRecord,
  ProfileReport,
  SubjectReport,
} from "../generated/bench_report.js";
import type {
  Bandwidth,
  Case,
  Generation,
  LoadReport,
  ProfiledStep,
  StepTraffic,
  TimedLaunch,
} from "./types.js";

/** Steps to keep of a generation whose prompt is itself one token. */
const KEPT_STEPS = 5;

/** All that was found of one pack on one device. */
export interface Findings {
  /** Browser and version. */
  where: string;
  /** The pack's folder. */
  pack: string;
  bandwidth: Bandwidth | null;
  /** The load whose engine was measured; also the last of `loads`. */
  loaded: LoadReport;
  /** In their order. */
  loads: { start: LoadRecord["start"]; report: LoadReport }[];
  cases: { what: Case; rounds: Generation[]; traffic: StepTraffic | null }[];
  /** Of the first case; null where launches can't be timed. */
  profile: { split: ProfiledStep[]; whole: ProfiledStep[] } | null;
}

/** One side, measured in a page. */
export function benchReport(found: Findings): BenchReport {
  const { info, timestamps } = found.loaded;
  const { vendor, architecture, description } = info.adapter;
  const { bandwidth, profile } = found;
  const first = found.cases[0];
  const a: SubjectReport = {
    place: "page",
    where: found.where,
    adapter: { vendor, architecture, description },
    pack: found.pack,
    runtime: null,
    model: info.model.name,
    quantization: info.quantization,
    tier: info.tier,
    context_length: info.contextLength,
    gpu_bytes: info.bytes.total,
    launches: info.launches,
    timestamps,
    bandwidth: bandwidth && {
      nbytes: bandwidth.nbytes,
      copy_bytes_per_s: bandwidth.copy,
      read_bytes_per_s: bandwidth.read,
    },
    loads: found.loads.map(({ start, report }) => loadReport(start, report)),
    cases: found.cases.map(({ what, rounds, traffic }) => caseReport(what, rounds, traffic)),
    profile:
      profile && first
        ? profileReport(first.what, profile.split, profile.whole, first.traffic)
        : null,
  };
  const rounds = first?.rounds.length ?? 0;
  return {
    format_version: 2,
    method: "engine",
    order: Array.from({ length: rounds }, () => "a"),
    subjects: { a },
    b_over_a: [],
  };
}

/** All rounds of one case; the best counts, for noise only ever adds time. */
export function caseReport(
  { start, prompt, tokens }: Case,
  rounds: readonly Generation[],
  traffic: Pick<StepTraffic, "read" | "written" | "weights" | "kv"> | null,
): CaseReport {
  const best = (rate: (round: Generation) => number) => Math.max(...rounds.map(rate));
  const decode = best((r) => ((r.completionTokens - 1) * 1000) / r.decode);
  const details = rounds.flatMap(({ detail }) => detail ?? []);
  return {
    start,
    prompt,
    tokens,
    context: start + prompt,
    prefill_tokens_per_s: start === 0 ? best((r) => (r.promptTokens * 1000) / r.prefill) : null,
    decode_tokens_per_s: decode,
    js_ms_per_token: details.length > 0 ? Math.min(...details.map((d) => d.jsPerToken)) : null,
    bytes_read_per_token: traffic?.read ?? null,
    bytes_written_per_token: traffic?.written ?? null,
    bytes_needed_per_token: traffic && traffic.weights + traffic.kv,
    bytes_per_s: traffic && (traffic.read + traffic.written) * decode,
    per_token: callsPerToken(rounds.at(-1) as Generation),
    rounds: rounds.map((r) => ({
      prompt_tokens: r.promptTokens,
      completion_tokens: r.completionTokens,
      prefill_ms: r.prefill,
      decode_ms: r.decode,
    })),
  };
}

function callsPerToken({ completionTokens, detail }: Generation): CaseReport["per_token"] {
  if (!detail) return null;
  const tokens = Math.max(1, completionTokens - 1);
  const { launches, submits, writeBuffers, createdBuffers, createdBindGroups } =
    detail.decodeCounts;
  return {
    launches: launches / tokens,
    submits: submits / tokens,
    write_buffers: writeBuffers / tokens,
    created_buffers: createdBuffers / tokens,
    created_bind_groups: createdBindGroups / tokens,
  };
}

export function loadReport(
  start: LoadRecord["start"],
  { total, parts }: Pick<LoadReport, "total" | "parts">,
): LoadRecord {
  const named = Object.entries(parts ?? {}).map(([name, value]): [string, number] => {
    const snake = name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);
    return [snake.endsWith("_bytes") ? snake : `${snake}_ms`, value];
  });
  return { start, total_ms: total, parts: parts && Object.fromEntries(named) };
}

/**
 * Decode steps of both profiles folded to one: of each launch the median.
 *
 * @param split with a pass per launch
 * @param whole with one pass
 * @returns null when no decode step was recorded
 */
export function profileReport(
  { start, prompt }: Case,
  split: readonly ProfiledStep[],
  whole: readonly ProfiledStep[],
  traffic: Pick<StepTraffic, "launches"> | null,
): ProfileReport | null {
  const decoding = (steps: readonly ProfiledStep[]) =>
    steps.filter(({ tokens }) => tokens === 1).slice(prompt === 1 ? -KEPT_STEPS : 0);
  const steps = decoding(split);
  const [first] = steps;
  if (!first) return null;
  const counted = traffic?.launches.length === first.launches.length ? traffic.launches : null;
  const launches = first.launches.map(({ label, kernel }, i) => {
    const bytes = counted?.[i];
    return {
      label,
      kernel,
      ms: median(steps.map(({ launches }) => milliseconds(launches.slice(i, i + 1)))),
      nbytes: bytes ? bytes.read + bytes.written : null,
    };
  });
  const passes = decoding(whole).map(({ launches }) => milliseconds(launches));
  return {
    context: start + prompt,
    steps: steps.length,
    pass_ms: passes.length > 0 ? median(passes) : null,
    launch_ms: launches.reduce((sum, { ms }) => sum + ms, 0),
    attributed: median(steps.map(({ launches }) => attributed(launches))),
    launches,
  };
}

/** The share of a step, from its first begin to its last end, in which a launch with a name ran; launches may overlap. */
function attributed(launches: readonly TimedLaunch[]): number {
  const first = Math.min(...launches.map(({ begin }) => begin));
  const last = Math.max(...launches.map(({ end }) => end));
  let until = first;
  let named = 0;
  for (const { label, kernel, begin, end } of [...launches].sort((a, b) => a.begin - b.begin)) {
    if (!label || !kernel) continue;
    named += Math.max(0, end - Math.max(begin, until));
    until = Math.max(until, end);
  }
  return last > first ? named / (last - first) : 0;
}

/** GPU time of these launches. */
const milliseconds = (launches: readonly { begin: number; end: number }[]): number =>
  launches.reduce((ns, { begin, end }) => ns + end - begin, 0) / 1e6;

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] as number;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] as number)) / 2;
}
