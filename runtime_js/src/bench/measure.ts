/** A whole benchmark in one call: what `webbuild bench PACK` does, in the caller's own page. */
import { type AddressOptions, addresses } from "../api/pack_address.js";
import type { LoadOptions } from "../engine/load.js";
import type { LoadProgress } from "../engine/progress.js";
import { abortError, InvalidRequestError, throwIfAborted } from "../errors.js";
import type { BenchReport } from "../generated/bench_report.js";
import { Bench } from "./bench.js";
import { hostName } from "./host_name.js";
import { benchReport, type Findings } from "./report.js";
import type { Case, Generation, LoadReport } from "./types.js";

/** Of one buffer of the bandwidth kernels. */
const BANDWIDTH_BYTES = 64 * 2 ** 20;
const PROFILED_TOKENS = 6;

/**
 * `load`: the pack, a second time from the cache if the first came over the network · `generate`: rounds of the cases ·
 * `profile`: GPU time of each launch, where the adapter tells it · `bandwidth`: what memory gives, without the model.
 */
export type MeasurePhase = "load" | "generate" | "profile" | "bandwidth";

export interface MeasureProgress {
  phase: MeasurePhase;
  /** Steps that are done, of `total`; they take different times. */
  done: number;
  total: number;
  /** While loading. */
  load?: LoadProgress;
  /** While generating: what is measured now, and its round, counted from 1 (0 warms up). */
  what?: Case;
  round?: number;
}

export interface MeasureOptions
  extends Pick<LoadOptions, "tier" | "powerPreference">,
    Pick<AddressOptions, "headers" | "credentials"> {
  /** What to measure: see {@link benchCases}. */
  cases: readonly Case[];
  /** Times that each case is measured; the best counts (default 3). */
  rounds?: number | undefined;
  onProgress?: ((progress: MeasureProgress) => void) | undefined;
  /** Ends the benchmark and its worker at once; it rejects with AbortError. What was downloaded stays. */
  signal?: AbortSignal | undefined;
  /** Outside of browsers: the WebGPU implementation. */
  gpu?: GPU | undefined;
}

/**
 * Measures a pack on this device, in a worker of its own, and frees everything when it is done.
 *
 * @param packUrl the pack's folder or its pack.json
 * @returns what `webbuild bench --json` writes; `webbuild bench REPORT.json` reads it
 * @throws as `Engine.load`, and InvalidRequestError for cases that the pack's context does not hold
 */
export async function measurePack(
  packUrl: string | URL,
  options: MeasureOptions,
): Promise<BenchReport> {
  const { cases, rounds = 3, onProgress, signal, gpu, headers, credentials, ...load } = options;
  const [first] = cases;
  if (!first) throw new InvalidRequestError("there is no case to measure", { param: "cases" });
  if (!Number.isInteger(rounds) || rounds < 1) {
    throw new InvalidRequestError(`rounds ${rounds}: at least 1`, { param: "rounds" });
  }
  if (signal) throwIfAborted(signal);
  const at = addresses(packUrl, { headers, credentials });
  const bench = await Bench.open(gpu);
  const stop = () => bench.close(abortError(signal));
  signal?.addEventListener("abort", stop, { once: true });
  if (signal?.aborted) stop();
  const total = 4 + cases.length * (rounds + 1);
  let done = 0;
  const now = (phase: MeasurePhase, more: Partial<MeasureProgress> = {}) =>
    onProgress?.({ phase, done, total, ...more });
  try {
    const contextLength = Math.max(...cases.map((c) => c.start + c.prompt + c.tokens));
    const loads: Findings["loads"] = [];
    const loadOnce = async (): Promise<LoadReport> => {
      now("load");
      const report = await bench.load({ ...at, contextLength, ...load }, (progress) =>
        now("load", { load: progress }),
      );
      loads.push({ start: report.parts?.networkBytes ? "cold" : "cached", report });
      done++;
      return report;
    };
    let loaded = await loadOnce();
    if (loads[0]?.start === "cold" && isKept(loaded)) loaded = await loadOnce();
    else done++;

    const traffic = await bench.traffic(cases.map((c) => c.start + c.prompt));
    const found: Findings["cases"] = [];
    for (const [i, what] of cases.entries()) {
      now("generate", { what, round: 0 });
      await bench.generate({ ...what, tokens: 2 });
      done++;
      const answers: Generation[] = [];
      for (let round = 1; round <= rounds; round++) {
        now("generate", { what, round });
        answers.push(await bench.generate(what));
        done++;
      }
      found.push({ what, rounds: answers, traffic: traffic[i] ?? null });
    }

    let profile: Findings["profile"] = null;
    if (loaded.timestamps) {
      now("profile");
      const what = { ...first, tokens: Math.min(first.tokens, PROFILED_TOKENS) };
      const split = await bench.profile(what, "launch");
      profile = { split, whole: await bench.profile(what, "pass") };
    }
    done++;

    now("bandwidth");
    await bench.unload(); // its buffers beside the model's may be too much for a phone
    const bandwidth = await bench.bandwidth(BANDWIDTH_BYTES);
    done++;
    now("bandwidth");
    const where = hostName();
    return benchReport({ where, pack: at.url, bandwidth, loaded, loads, cases: found, profile });
  } finally {
    signal?.removeEventListener("abort", stop);
    bench.close();
  }
}

/** Whether the browser's storage holds all of the pack: a second load would read it from there. */
function isKept({ info: { cache } }: LoadReport): boolean {
  return (cache.kind === "opfs" || cache.kind === "cache") && cache.problem === null;
}
