import { effect, signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { bytes, duration } from "../format.js";
import {
  cancelLoading,
  FATAL,
  load,
  type ModelState,
  model,
  openPack,
  type Progress,
  type Report,
  workingModel,
} from "../model.js";
import { EMBEDDED_PACK } from "../pack.js";
import { Icon } from "./icons.js";
import type { NoWebGpu as AdviceOnWebGpu } from "./no_web_gpu.js";
import { Reasons } from "./reasons.js";

/** What to do without WebGPU comes where there is none. */
const noWebGpu = signal<typeof AdviceOnWebGpu | undefined>(undefined);
effect(() => {
  const state = model.value;
  if (state.phase !== "unfit" || state.report.adapter || noWebGpu.peek()) return;
  import("./no_web_gpu.js").then((module) => {
    noWebGpu.value = module.NoWebGpu;
  });
});

/** What stands between the visitor and a model: a check, a question, a download, or why not. */
export function LoadCard() {
  const state = model.value;
  const { phase } = state;
  const card = useRef<HTMLElement>(null);
  // The button that was pressed has gone, and with it the focus: it goes to what can be done now.
  useEffect(() => {
    const waits = phase !== "checking" && phase !== "loading";
    if (waits && document.activeElement === document.body) {
      card.current?.querySelector("button")?.focus();
    }
  }, [phase]);
  if (state.phase === "ready") return null;
  return (
    <section ref={card} class={`card ${state.phase}`} aria-label="Model">
      {content(state)}
    </section>
  );
}

function content(state: Exclude<ModelState, { phase: "ready" }>) {
  const NoWebGpu = noWebGpu.value;
  switch (state.phase) {
    case "checking":
      return <p>Looking at the pack and at this device…</p>;
    case "asking":
      return <Ask packUrl={state.packUrl} report={state.report} />;
    case "loading":
      return <Loading progress={state.progress} />;
    case "unfit":
      return state.report.adapter ? (
        <Unfit packUrl={state.packUrl} report={state.report} />
      ) : (
        NoWebGpu && <NoWebGpu reasons={state.report.reasons} />
      );
    case "failed":
      return (
        <>
          <h2>
            <Icon name="warning" /> The model{" "}
            {FATAL.includes(state.error.name) ? "has stopped" : "could not be loaded"}
          </h2>
          <p role="alert">{state.error.message}</p>
          {state.error.name === "NetworkError" && (
            <p class="note">
              Is this device online, and the server? Another host’s must allow cross-origin
              requests.
            </p>
          )}
          <Buttons packUrl={state.packUrl} again="Try again" />
        </>
      );
  }
}

function Ask({ packUrl, report }: { packUrl: string; report: Report }) {
  return (
    <>
      <h2>Load this model?</h2>
      <p class="pack-url">{packUrl}</p>
      <p>
        It fits this device{report.tier && ` (${report.tier} tier)`}.
        {` Up to ${bytes(report.downloadBytes)} to download, unless it is cached.`}
        {report.bytes && ` It takes ${bytes(report.bytes.total)} of GPU memory.`}
      </p>
      <div class="buttons">
        <button type="button" class="primary" onClick={() => load(packUrl, report)}>
          Load
        </button>
        <Others packUrl={packUrl} />
      </div>
    </>
  );
}

const PHASES: Record<Progress["phase"], string> = {
  fetch: "Fetching the model",
  compile: "Compiling kernels",
  upload: "Moving weights to the GPU",
  warmup: "Warming up",
  tune: "Measuring kernels",
  ready: "Ready",
};

function Loading({ progress }: { progress: Progress | null }) {
  const { loadedBytes = 0, totalBytes = 0, networkBytes = 0, bytesPerSecond = 0 } = progress ?? {};
  const phase = progress ? PHASES[progress.phase] : "Starting the worker";
  const details = [
    totalBytes > 0 && `${bytes(loadedBytes)} of ${bytes(totalBytes)}`,
    networkBytes > 0 && bytesPerSecond > 0 && `${bytes(bytesPerSecond)}/s`,
    networkBytes === 0 && loadedBytes > 0 && "from this device’s cache",
    networkBytes > 0 &&
      loadedBytes < totalBytes &&
      progress?.etaSeconds != null &&
      `${duration(progress.etaSeconds)} left`,
  ].filter(Boolean);
  return (
    <>
      <div class="card-row">
        <h2 id="load-phase">{phase}…</h2>
        <button type="button" class="quiet" onClick={cancelLoading}>
          Cancel
        </button>
      </div>
      <progress aria-labelledby="load-phase" max={totalBytes || 1} value={loadedBytes} />
      <p class="figures">{details.join(" · ") || "\u00a0"}</p>
    </>
  );
}

function Unfit({ packUrl, report }: { packUrl: string; report: Report }) {
  return (
    <>
      <h2>
        <Icon name="warning" /> This model does not fit this device
      </h2>
      <Reasons reasons={report.reasons} />
      <Buttons packUrl={packUrl} again="Check again" />
    </>
  );
}

function Buttons({ packUrl, again }: { packUrl: string; again: string }) {
  return (
    <div class="buttons">
      <button
        type="button"
        class="primary"
        onClick={() => openPack(packUrl, { ask: packUrl !== EMBEDDED_PACK })}
      >
        {again}
      </button>
      <Others packUrl={packUrl} />
    </div>
  );
}

/** Ways out: back to the model that still works, or to the embedded one. */
function Others({ packUrl }: { packUrl: string }) {
  const working = workingModel();
  return (
    <>
      {working && (
        <button type="button" onClick={() => openPack(working.packUrl)}>
          Back to {working.name}
        </button>
      )}
      {packUrl !== EMBEDDED_PACK && working?.packUrl !== EMBEDDED_PACK && (
        <button type="button" onClick={() => openPack(EMBEDDED_PACK)}>
          Use the embedded toy model
        </button>
      )}
    </>
  );
}
