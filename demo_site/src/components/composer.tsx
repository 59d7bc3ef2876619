import { useEffect, useRef, useState } from "preact/hooks";
import { answering, send, stop, turns } from "../conversation.js";
import { model } from "../model.js";
import { store, stored } from "../stored.js";
import { Icon } from "./icons.js";

/** What is not sent yet outlives a reload of the tab. */
const DRAFT = "webbuild.draft";

/** The key is one of an input method: Safari tells of the last only by its code. */
const composing = (event: KeyboardEvent) => event.isComposing || event.keyCode === 229;

export function Composer() {
  const [text, setText] = useState(() => stored("sessionStorage", DRAFT) ?? "");
  const field = useRef<HTMLTextAreaElement>(null);
  const ready = model.value.phase === "ready";
  const busy = answering.value;
  const empty = turns.value.length === 0;

  // Typing can start at once where a keyboard is at hand; on a phone it would hide half the page. Buttons that go when they
  // are pressed leave the focus to the page's body, and so to this field; not to take away a selection.
  useEffect(() => {
    const free = document.activeElement === document.body && getSelection()?.isCollapsed !== false;
    if (ready && free && matchMedia("(hover: hover) and (pointer: fine)").matches) {
      field.current?.focus({ preventScroll: true });
    }
  }, [ready, busy, empty]);

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== "Escape" || composing(event)) return;
      if (answering.value && !document.querySelector("dialog[open]")) stop();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);

  const write = (text: string) => {
    setText(text);
    store("sessionStorage", DRAFT, text);
  };

  const submit = () => {
    if (!ready || busy || text.trim() === "") return;
    send(text);
    write("");
    field.current?.focus();
  };

  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <label class="visually-hidden" for="message">
        Message
      </label>
      <textarea
        id="message"
        ref={field}
        dir="auto"
        rows={1}
        value={text}
        placeholder={ready ? "Ask something" : "The model is not loaded yet"}
        aria-describedby="message-help"
        enterkeyhint="send"
        onInput={(event) => write(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || event.shiftKey || composing(event)) return;
          event.preventDefault();
          submit();
        }}
      />
      <span id="message-help" class="visually-hidden">
        Enter sends, Shift and Enter make a new line, Escape stops the answer.
      </span>
      {busy ? (
        <button type="button" class="primary round" onClick={stop}>
          <Icon name="stop" />
          <span class="visually-hidden">Stop</span>
        </button>
      ) : (
        <button type="submit" class="primary round" disabled={!ready || text.trim() === ""}>
          <Icon name="send" />
          <span class="visually-hidden">Send</span>
        </button>
      )}
    </form>
  );
}
