import { useState } from "preact/hooks";
import { EMBEDDED_PACK } from "../pack.js";
import { checkPack, pack } from "./run.js";

/** Which pack: the one that ships with the site, or any other by URL. */
export function PackForm() {
  const { url } = pack.value;
  const [text, setText] = useState("");
  return (
    <>
      <form
        class="field"
        onSubmit={(event) => {
          event.preventDefault();
          void checkPack(text.trim() || EMBEDDED_PACK);
        }}
      >
        <label for="pack-url">Pack</label>
        <div class="input-row">
          <input
            id="pack-url"
            inputMode="url"
            autocomplete="off"
            spellcheck={false}
            placeholder="https://example.org/packs/llama-3.2-1b/"
            aria-describedby="pack-help"
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
          />
          <button type="submit">Check</button>
        </div>
        <small id="pack-help">
          A folder made by <code>webbuild pack</code>; left empty, the toy model of this site.
        </small>
      </form>
      {url && url !== EMBEDDED_PACK && <p class="pack-url">{url}</p>}
    </>
  );
}
