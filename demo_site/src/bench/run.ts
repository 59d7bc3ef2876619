// The pack to measure, and the one benchmark that may be running.

import { signal } from "@preact/signals";
import { Engine } from "webbuild";
import { type BenchReport, benchCases, type MeasureProgress, measurePack } from "webbuild/bench";
import { defaultOptions, type Options } from "./options.js";

export type Fit = Awaited<ReturnType<typeof Engine.canRun>>;

export type PackState =
  | { phase: "checking"; url: string }
  | { phase: "fits"; url: string; fit: Fit }
  /** This browser or GPU can't run it; `fit` says why. */
  | { phase: "unfit"; url: string; fit: Fit }
  | { phase: "failed"; url: string; error: Error };

export type RunState =
  | { phase: "idle" }
  | { phase: "running"; progress: MeasureProgress | null; rounds: number }
  | { phase: "cancelled" }
  | { phase: "done"; report: BenchReport }
  | { phase: "failed"; error: Error };

export const pack = signal<PackState>({ phase: "checking", url: "" });
export const options = signal<Options>({ prompts: [], contexts: [], tokens: 32, rounds: 3 });
export const run = signal<RunState>({ phase: "idle" });

let running: AbortController | null = null;

/** Looks at a pack without fetching its weights. */
export async function checkPack(url: string): Promise<void> {
  cancel();
  run.value = { phase: "idle" };
  pack.value = { phase: "checking", url };
  try {
    const fit = await Engine.canRun(url);
    if (pack.value.url !== url) return; // another one was asked for meanwhile
    options.value = defaultOptions(fit.longestContext);
    pack.value = { phase: fit.ok ? "fits" : "unfit", url, fit };
  } catch (error) {
    if (pack.value.url === url) pack.value = { phase: "failed", url, error: asError(error) };
  }
}

/** Runs the benchmark that `options` say; its result, or why there is none, is in `run`. */
export async function start(): Promise<void> {
  if (running || pack.value.phase !== "fits") return;
  const { url, fit } = pack.value;
  const { rounds, ...lengths } = options.value;
  const controller = new AbortController();
  running = controller;
  run.value = { phase: "running", progress: null, rounds };
  try {
    if (lengths.prompts.length + lengths.contexts.length === 0) {
      throw new Error("Choose at least one prompt length or context.");
    }
    const cases = benchCases(fit.longestContext, lengths);
    const report = await measurePack(url, {
      cases,
      rounds,
      signal: controller.signal,
      onProgress: (progress) => {
        if (running === controller) run.value = { phase: "running", progress, rounds };
      },
    });
    if (running === controller) run.value = { phase: "done", report };
  } catch (error) {
    if (running === controller) run.value = { phase: "failed", error: asError(error) };
  } finally {
    if (running === controller) running = null;
  }
}

/** Ends the benchmark and its worker at once. */
export function cancel(): void {
  if (!running) return;
  const controller = running;
  running = null;
  run.value = { phase: "cancelled" };
  controller.abort();
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
