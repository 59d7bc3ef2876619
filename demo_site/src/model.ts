// Which pack is open, from the first look at it to an engine that answers.

import { signal } from "@preact/signals";
import { Engine, WebbuildError } from "webbuild";

export type LoadedEngine = Awaited<ReturnType<typeof Engine.load>>;
export type Report = Awaited<ReturnType<typeof Engine.canRun>>;
export type Progress = Parameters<
  NonNullable<NonNullable<Parameters<typeof Engine.load>[1]>["onProgress"]>
>[0];

export type ModelState =
  | { phase: "checking"; packUrl: string }
  /** It fits and waits for the visitor to say so. */
  | { phase: "asking"; packUrl: string; report: Report }
  /** This browser or GPU can't run it; the report says why. */
  | { phase: "unfit"; packUrl: string; report: Report }
  | { phase: "loading"; packUrl: string; report: Report; progress: Progress | null }
  | { phase: "ready"; packUrl: string; engine: LoadedEngine }
  | { phase: "failed"; packUrl: string; error: Error };

export const model = signal<ModelState>({ phase: "checking", packUrl: "" });

/** It answers, or would if the visitor went back to it. */
let working: { packUrl: string; engine: LoadedEngine } | null = null;
let loading: AbortController | null = null;

/**
 * Checks that a pack can run here and, unless it should ask first, loads it in place of the present one.
 * @param packUrl folder of the pack, absolute or relative to the page
 */
export async function openPack(packUrl: string, { ask = false } = {}): Promise<void> {
  loading?.abort();
  loading = null;
  if (working?.packUrl === packUrl) {
    model.value = { phase: "ready", ...working };
    return;
  }
  model.value = { phase: "checking", packUrl };
  try {
    const report = await Engine.canRun(packUrl);
    if (model.value.packUrl !== packUrl) return; // another one was opened meanwhile
    if (!report.ok) model.value = { phase: "unfit", packUrl, report };
    else if (ask) model.value = { phase: "asking", packUrl, report };
    else await load(packUrl, report);
  } catch (error) {
    if (model.value.packUrl === packUrl) fail(packUrl, error);
  }
}

/** Loads a pack that was checked. Cancelled, it asks again; what was fetched so far is kept. */
export async function load(packUrl: string, report: Report): Promise<void> {
  const controller = new AbortController();
  loading = controller;
  model.value = { phase: "loading", packUrl, report, progress: null };
  try {
    const before = working;
    working = null;
    await before?.engine.unload(); // two models rarely fit beside each other
    const engine = await Engine.load(packUrl, {
      signal: controller.signal,
      onProgress(progress) {
        if (controller.signal.aborted || model.value.phase !== "loading") return;
        model.value = { phase: "loading", packUrl, report, progress };
      },
    });
    working = { packUrl, engine };
    model.value = { phase: "ready", ...working };
  } catch (error) {
    if (!controller.signal.aborted) fail(packUrl, error);
    else if (loading === controller) model.value = { phase: "asking", packUrl, report };
  } finally {
    if (loading === controller) loading = null;
  }
}

/** The model that still works, where another one could not take its place or is not to. */
export function workingModel(): { packUrl: string; name: string } | null {
  return working && { packUrl: working.packUrl, name: working.engine.info.model.name };
}

export function cancelLoading(): void {
  loading?.abort();
}

/** Errors that take the engine with them. */
export const FATAL = ["DeviceLostError", "WorkerFailed", "EngineUnloaded"];

/** To be told when an answer failed. */
export function answerFailed(error: unknown): void {
  if (model.value.phase !== "ready") return; // another pack takes its place
  if (error instanceof WebbuildError && FATAL.includes(error.name)) {
    working = null;
    fail(model.value.packUrl, error);
  }
}

function fail(packUrl: string, error: unknown): void {
  model.value = {
    phase: "failed",
    packUrl,
    error: error instanceof Error ? error : new Error(String(error)),
  };
}
