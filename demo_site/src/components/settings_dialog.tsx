import type { RefObject } from "preact";
import { useEffect, useState } from "preact/hooks";
import { bytes, tokens } from "../format.js";
import { type LoadedEngine, model, openPack } from "../model.js";
import { EMBEDDED_PACK } from "../pack.js";
import { change, DEFAULTS, parseSeed, RANGES, type Settings, settings } from "../settings.js";
import { Icon } from "./icons.js";
import { adapterName } from "./status_line.js";

/** A native modal dialog: it holds the focus, closes on Escape and gives the focus back. */
export function SettingsDialog({ dialog }: { dialog: RefObject<HTMLDialogElement | null> }) {
  const close = () => dialog.current?.close();
  useEffect(() => dialog.current?.showModal(), [dialog]);
  return (
    <dialog ref={dialog} class="settings" aria-labelledby="settings-title" closedby="any">
      <div class="settings-body">
        <div class="card-row">
          <h2 id="settings-title">Model and settings</h2>
          <button type="button" class="quiet" onClick={close}>
            <Icon name="close" />
            <span class="visually-hidden">Close</span>
          </button>
        </div>
        <ModelSection onOpen={close} />
        <PromptSection />
        <SamplingSection />
        <ThemeSection />
        <button type="button" onClick={() => change({ ...DEFAULTS, theme: settings.value.theme })}>
          Reset prompt and sampling
        </button>
      </div>
    </dialog>
  );
}

function ModelSection({ onOpen }: { onOpen: () => void }) {
  const [url, setUrl] = useState("");
  const state = model.value;
  return (
    <section>
      <h3>Model</h3>
      {state.phase === "ready" && <ModelTable engine={state.engine} />}
      <form
        class="field"
        onSubmit={(event) => {
          event.preventDefault();
          onOpen();
          void openPack(url.trim(), { ask: true });
        }}
      >
        <label for="pack-url">Load another pack by URL</label>
        <div class="input-row">
          <input
            id="pack-url"
            type="url"
            required
            pattern="https:.*|http://(localhost|127\.0\.0\.1)\b.*"
            title="https://… or http://localhost…"
            placeholder="https://example.org/packs/llama-3.2-1b/"
            aria-describedby="pack-help"
            value={url}
            onInput={(event) => setUrl(event.currentTarget.value)}
          />
          <button type="submit">Check</button>
        </div>
        <small id="pack-help">
          A folder made by <code>webbuild pack</code>, on a host that allows cross-origin requests.
          You are told whether it fits before anything large is fetched.
        </small>
      </form>
      {state.packUrl !== EMBEDDED_PACK && (
        <button
          type="button"
          onClick={() => {
            onOpen();
            void openPack(EMBEDDED_PACK);
          }}
        >
          Use the embedded toy model
        </button>
      )}
    </section>
  );
}

function ModelTable({ engine }: { engine: LoadedEngine }) {
  const { info } = engine;
  const rows: [string, string][] = [
    ["Model", info.model.name],
    ["Parameters", info.model.parameters.toLocaleString("en")],
    ["Weights", `${info.quantization}, ${bytes(info.bytes.weights)}`],
    ["Context", `${tokens(info.contextLength)}, ${bytes(info.bytes.kv)} for keys and values`],
    ["Activations", bytes(info.bytes.activations)],
    ["GPU memory", bytes(info.bytes.total)],
    ["Adapter", `${adapterName(info.adapter)}, ${info.tier} tier`],
  ];
  return (
    <dl class="facts">
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function PromptSection() {
  return (
    <section class="field">
      <h3>
        <label for="system-prompt">System prompt</label>
      </h3>
      <textarea
        id="system-prompt"
        dir="auto"
        rows={3}
        value={settings.value.systemPrompt}
        onInput={(event) => change({ systemPrompt: event.currentTarget.value })}
      />
    </section>
  );
}

type Range = keyof typeof RANGES;

const SLIDERS: { name: Range; label: string; help: string }[] = [
  { name: "temperature", label: "Temperature", help: "0 always takes the likeliest token." },
  {
    name: "topP",
    label: "Top-p",
    help: "Draw from the likeliest tokens with this total probability.",
  },
  { name: "topK", label: "Top-k", help: "Draw from this many likeliest tokens; 0 is off." },
  {
    name: "minP",
    label: "Min-p",
    help: "Drop tokens below this fraction of the likeliest one’s probability.",
  },
  { name: "maxTokens", label: "Max tokens", help: "Longest answer." },
];

function SamplingSection() {
  const seed = settings.value.seed;
  const badSeed = parseSeed(seed) === null;
  return (
    <section>
      <h3>Sampling</h3>
      {SLIDERS.map((slider) => (
        <Slider key={slider.name} {...slider} />
      ))}
      <div class="field">
        <label for="seed">Seed</label>
        <input
          id="seed"
          inputMode="numeric"
          placeholder="another one each time"
          value={seed}
          aria-invalid={badSeed}
          aria-describedby="seed-help"
          onInput={(event) => change({ seed: event.currentTarget.value })}
        />
        <small id="seed-help" class={badSeed ? "error" : ""}>
          {badSeed
            ? "A whole number of 0 or more; until then each answer is drawn anew."
            : "With a seed the same question gives the same answer."}
        </small>
      </div>
    </section>
  );
}

function Slider({ name, label, help }: { name: Range; label: string; help: string }) {
  const { min, max, step } = RANGES[name];
  const value = settings.value[name];
  const set = (field: HTMLInputElement) => {
    const typed = field.valueAsNumber;
    const number = Math.min(max, Math.max(min, step === 1 ? Math.round(typed) : typed));
    if (!Number.isNaN(number)) change({ [name]: number });
    field.value = String(settings.value[name]); // what counts, where that is not what was typed
  };
  return (
    <div class="field slider">
      <label for={`${name}-slider`}>{label}</label>
      <input
        class="number"
        type="number"
        aria-label={`${label}, as a number`}
        {...{ min, max, step, value }}
        onChange={(event) => set(event.currentTarget)}
      />
      <input
        id={`${name}-slider`}
        type="range"
        aria-describedby={`${name}-help`}
        {...{ min, max, step, value }}
        onInput={(event) => set(event.currentTarget)}
      />
      <small id={`${name}-help`}>{help}</small>
    </div>
  );
}

const THEMES: { value: Settings["theme"]; label: string }[] = [
  { value: "auto", label: "As the system" },
  { value: "light", label: "Light" },
  { value: "dark", label: "Dark" },
];

function ThemeSection() {
  return (
    <fieldset class="choices">
      <legend>Appearance</legend>
      {THEMES.map(({ value, label }) => (
        <label key={value}>
          <input
            type="radio"
            name="theme"
            checked={settings.value.theme === value}
            onChange={() => change({ theme: value })}
          />
          {label}
        </label>
      ))}
    </fieldset>
  );
}
