import { useEffect, useRef } from "preact/hooks";
import { adapterName } from "../components/status_line.js";
import { bytes } from "../format.js";
import { offeredLengths, RANGES, withTokens } from "./options.js";
import { type Fit, options, run, start } from "./run.js";

/** Lengths, tokens and rounds, and the button that starts. */
export function OptionsForm({ fit }: { fit: Fit }) {
  const { prompts, contexts, tokens, rounds } = options.value;
  const lengths = offeredLengths(fit.longestContext, tokens);
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    // The form comes back in the place of the button that cancelled.
    const { phase } = run.peek();
    if (phase === "cancelled" || phase === "failed") button.current?.focus();
  }, []);
  const nothing = prompts.length + contexts.length === 0;
  return (
    <form
      class="options"
      onSubmit={(event) => {
        event.preventDefault();
        void start();
      }}
    >
      <p class="note">
        {fit.adapter && `${adapterName(fit.adapter)}, ${fit.tier} tier. `}
        Up to {bytes(fit.downloadBytes)} to download, unless it is cached
        {fit.bytes && `; it takes about ${bytes(fit.bytes.total)} of GPU memory`}.
      </p>
      <fieldset class="choices">
        <legend>Prompts, read and then answered</legend>
        <Lengths
          offered={lengths}
          chosen={prompts}
          onChange={(prompts) => {
            options.value = { ...options.value, prompts };
          }}
        />
      </fieldset>
      <fieldset class="choices">
        <legend>More contexts to decode at, without reading them first</legend>
        <Lengths
          offered={lengths}
          chosen={contexts}
          onChange={(contexts) => {
            options.value = { ...options.value, contexts };
          }}
        />
      </fieldset>
      <div class="numbers">
        <NumberField
          id="tokens"
          label="Tokens to generate"
          value={tokens}
          {...RANGES.tokens}
          max={Math.min(RANGES.tokens.max, fit.longestContext - 1)}
          onChange={(tokens) => {
            options.value = withTokens(options.value, tokens, fit.longestContext);
          }}
        />
        <NumberField
          id="rounds"
          label="Rounds (the best counts)"
          value={rounds}
          {...RANGES.rounds}
          onChange={(rounds) => {
            options.value = { ...options.value, rounds };
          }}
        />
      </div>
      <div class="buttons">
        <button ref={button} type="submit" class="primary" disabled={nothing}>
          Start
        </button>
        {nothing && <p class="note">Choose a prompt or a context first.</p>}
      </div>
    </form>
  );
}

function Lengths({
  offered,
  chosen,
  onChange,
}: {
  offered: number[];
  chosen: number[];
  onChange: (lengths: number[]) => void;
}) {
  return offered.map((length) => (
    <label key={length}>
      <input
        type="checkbox"
        checked={chosen.includes(length)}
        onChange={(event) => {
          const others = chosen.filter((other) => other !== length);
          onChange(
            event.currentTarget.checked ? [...others, length].sort((a, b) => a - b) : others,
          );
        }}
      />
      {length.toLocaleString("en")} tokens
    </label>
  ));
}

function NumberField({
  id,
  label,
  onChange,
  ...input
}: {
  id: string;
  label: string;
  value: number;
  min: number;
  max: number;
  onChange: (value: number) => void;
}) {
  const { min, max } = input;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        type="number"
        inputMode="numeric"
        step={1}
        required
        {...input}
        onChange={(event) => {
          const value = event.currentTarget.valueAsNumber;
          // Out of range it stays as it was; the field says so when it is submitted.
          if (Number.isInteger(value) && value >= min && value <= max) onChange(value);
        }}
      />
    </div>
  );
}
