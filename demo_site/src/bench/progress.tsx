import { useEffect, useRef } from "preact/hooks";
import type { MeasureProgress } from "webbuild/bench";
import { bytes } from "../format.js";
import { cancel } from "./run.js";

/** How far the benchmark is, and what it does now. */
export function Progress({
  progress,
  rounds,
}: {
  progress: MeasureProgress | null;
  rounds: number;
}) {
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => button.current?.focus(), []);
  const { done = 0, total = 1 } = progress ?? {};
  return (
    <>
      <div class="card-row">
        <h2 id="bench-progress">
          {progress ? describe(progress, rounds) : "Starting the worker"}…
        </h2>
        <button ref={button} type="button" onClick={cancel}>
          Cancel
        </button>
      </div>
      <progress aria-labelledby="bench-progress" max={total} value={done} />
      <p class="figures">
        {done} of {total} steps{progress?.load ? ` · ${loaded(progress.load)}` : ""}
      </p>
    </>
  );
}

export function describe({ phase, what, round }: MeasureProgress, rounds: number): string {
  switch (phase) {
    case "load":
      return "Loading the model";
    case "generate": {
      const length = what ? (what.start + what.prompt).toLocaleString("en") : "";
      const where =
        what?.start === 0 ? `Prompt of ${length} tokens` : `Context of ${length} tokens`;
      return round === 0 ? `${where}, warming up` : `${where}, round ${round} of ${rounds}`;
    }
    case "profile":
      return "GPU time of each launch";
    case "bandwidth":
      return "Bandwidth of the memory";
  }
}

function loaded({ loadedBytes, totalBytes }: NonNullable<MeasureProgress["load"]>): string {
  return `${bytes(loadedBytes)} of ${bytes(totalBytes)}`;
}
