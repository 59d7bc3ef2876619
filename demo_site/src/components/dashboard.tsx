import { percent } from "../bench/figures.js";
import { askAll, askingAll, moments, open, recent, SHOWN_MS, stats } from "../dashboard.js";
import { tokenRate, tokens } from "../format.js";
import { model } from "../model.js";
import { LinePlot } from "./line_plot.js";

/** What the engine does just now: requests, steps, pages, prefix cache. */
export function Dashboard() {
  const state = model.value;
  if (state.phase !== "ready") return null;
  return (
    <details class="dashboard" onToggle={(event) => (open.value = event.currentTarget.open)}>
      <summary>What the engine is doing</summary>
      {open.value && <Figures />}
      <button
        type="button"
        class="quiet"
        disabled={askingAll.value}
        onClick={() => askAll(state.engine)}
      >
        {askingAll.value ? "Answering eight questions…" : "Ask eight questions at once"}
      </button>
    </details>
  );
}

function Figures() {
  const now = stats.value;
  const shown = moments.value;
  const latest = shown.at(-1);
  const means = recent.value;
  if (!now || !latest || !means) return <p>Waiting for the engine…</p>;
  const { pages, cache } = now;
  const { batch, hitRate, acceptance, stepMs } = means;
  const line = (label: string, key: keyof typeof latest) => ({
    label,
    points: shown.map((moment) => [moment.at, moment[key]] as const),
  });
  const most = (...keys: (keyof typeof latest)[]) =>
    Math.max(1, ...shown.flatMap((moment) => keys.map((key) => moment[key])));
  return (
    <>
      <div class="plots">
        <figure>
          <figcaption>
            Speed <span>{tokenRate(latest.tokensPerSecond)}</span>
          </figcaption>
          <LinePlot
            lines={[line("speed", "tokensPerSecond")]}
            span={SHOWN_MS}
            top={most("tokensPerSecond")}
          />
        </figure>
        <figure>
          <figcaption>
            Requests{" "}
            <span>
              {now.running} running, {now.waiting} waiting
            </span>
          </figcaption>
          <LinePlot
            lines={[line("running", "running"), line("waiting", "waiting")]}
            span={SHOWN_MS}
            top={most("running", "waiting")}
          />
        </figure>
        <figure>
          <figcaption>
            KV pages{" "}
            <span>
              {percent(pages.running / pages.total)} in use, {percent(pages.cached / pages.total)}{" "}
              cached
            </span>
          </figcaption>
          <LinePlot
            lines={[line("in use", "pagesRunning"), line("cached", "pagesCached")]}
            span={SHOWN_MS}
            top={1}
          />
        </figure>
      </div>
      <dl>
        <Figure name="Requests per step" value={batch?.toFixed(2) ?? NONE} />
        <Figure
          name="Prompt tokens found in the cache"
          value={hitRate === null ? NONE : percent(hitRate)}
        />
        {acceptance !== null && (
          <Figure name="Guessed tokens that were right" value={percent(acceptance)} />
        )}
        <Figure
          name="A step: plan, encode, until its result"
          value={stepMs ? `${ms(stepMs.plan)}, ${ms(stepMs.encode)}, ${ms(stepMs.wait)}` : NONE}
        />
        <Figure name="Evicted pages so far" value={cache.evictedPages.toLocaleString("en")} />
        <Figure name="Preemptions so far" value={now.preemptions.toLocaleString("en")} />
        <Figure name="Drawn so far" value={tokens(now.drawnTokens)} />
      </dl>
      <p>Means are of the last minute.</p>
    </>
  );
}

function Figure({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

/** Of figures that are of nothing yet. */
const NONE = "–";

const ms = (value: number) => `${value.toFixed(value < 9.95 ? 2 : 0)} ms`;
