import { send } from "../conversation.js";
import { millions } from "../format.js";
import { model } from "../model.js";
import { EMBEDDED_PACK } from "../pack.js";

/** Things that the embedded toy model was trained to do. */
const SUGGESTIONS = [
  "What is webbuild?",
  "What is 37 + 5?",
  "What day of the week is 3 days after Monday?",
  "Tell a short story. Hero: a wolf named Lara. Place: the village.",
];

export function Welcome() {
  const state = model.value;
  const embedded = state.packUrl === EMBEDDED_PACK;
  return (
    <section class="welcome">
      <h2>A language model, inside this page</h2>
      <p>
        It runs on your own device, on the GPU, through WebGPU. There is no server behind it:
        nothing you type leaves this page.
      </p>
      {embedded && (
        <p class="note">
          The embedded model is a <strong>toy</strong>
          {state.phase === "ready" &&
            ` of ${millions(state.engine.info.model.parameters)} parameters`}
          , small enough to load in a moment. It was trained from nothing on small talk, arithmetic,
          units, dates, spelling, sorting and questions about this project. Expect nonsense beyond
          that, or load a larger pack in the settings.
        </p>
      )}
      {embedded && state.phase === "ready" && (
        <ul class="suggestions" aria-label="Examples">
          {SUGGESTIONS.map((text) => (
            <li key={text}>
              <button type="button" onClick={() => send(text)}>
                {text}
              </button>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
