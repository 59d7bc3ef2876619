import { Icon } from "../components/icons.js";
import { NoWebGpu } from "../components/no_web_gpu.js";
import { Reasons } from "../components/reasons.js";
import { EMBEDDED_PACK } from "../pack.js";
import { OptionsForm } from "./options_form.js";
import { PackForm } from "./pack_form.js";
import { Progress } from "./progress.js";
import { Results } from "./results.js";
import { checkPack, type PackState, pack, type RunState, run } from "./run.js";

export function BenchPage() {
  const state = pack.value;
  const running = run.value;
  const chat = state.url === EMBEDDED_PACK ? "./" : `./?pack=${encodeURIComponent(state.url)}`;
  return (
    <div class="page">
      <a class="skip-link" href="#main">
        Skip to the benchmark
      </a>
      <header class="top-bar">
        <h1 class="brand">
          <img src="icon.svg" alt="" width="28" height="28" />
          webbuild <span>benchmark</span>
        </h1>
        <nav class="top-actions" aria-label="Site">
          <a class="quiet button" href={chat}>
            <Icon name="chat" />
            <span>Chat</span>
          </a>
        </nav>
      </header>
      <main class="conversation bench" id="main">
        <section class="intro">
          <h2>How fast is it on this device?</h2>
          <p>
            The benchmark of <code>webbuild bench</code>, in this page: the model runs on your own
            GPU, and the figures stay here unless you copy them. Keep the tab in front meanwhile;
            browsers slow hidden ones down.
          </p>
        </section>
        {running.phase === "running" ? (
          <section class="card" aria-label="Progress">
            <Progress progress={running.progress} rounds={running.rounds} />
          </section>
        ) : (
          <section class="card" aria-label="What to measure">
            <PackForm />
            <PackCard state={state} />
            {state.phase === "fits" && <OptionsForm fit={state.fit} />}
          </section>
        )}
        {running.phase === "cancelled" && <p class="note">Cancelled: nothing runs any more.</p>}
        {running.phase === "failed" && (
          <section class="card failed" aria-label="Error">
            <Failure error={running.error} what="The benchmark failed" />
          </section>
        )}
        {running.phase === "done" && <Results report={running.report} />}
      </main>
      <div class="visually-hidden" role="status" aria-live="polite">
        {announcement(running)}
      </div>
    </div>
  );
}

function PackCard({ state }: { state: PackState }) {
  switch (state.phase) {
    case "checking":
      return <p class="note">Looking at the pack and at this device…</p>;
    case "failed":
      return <Failure error={state.error} what="The pack could not be read" />;
    case "unfit":
      return state.fit.adapter ? (
        <>
          <h2>
            <Icon name="warning" /> This model does not fit this device
          </h2>
          <Reasons reasons={state.fit.reasons} />
          <div class="buttons">
            <button type="button" onClick={() => checkPack(state.url)}>
              Check again
            </button>
          </div>
        </>
      ) : (
        <NoWebGpu reasons={state.fit.reasons} />
      );
    case "fits":
      return null;
  }
}

function Failure({ error, what }: { error: Error; what: string }) {
  return (
    <div class="failure" role="alert">
      <h2>
        <Icon name="warning" /> {what}
      </h2>
      <p>
        <strong>{error.name}</strong>: {error.message}
      </p>
    </div>
  );
}

function announcement(state: RunState): string {
  switch (state.phase) {
    case "running":
      return "The benchmark runs.";
    case "done":
      return "The benchmark is done.";
    case "cancelled":
      return "The benchmark was cancelled.";
    default:
      return "";
  }
}
