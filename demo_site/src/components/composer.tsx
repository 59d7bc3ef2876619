import { useEffect, useRef, useState } from "preact/hooks";
import { answering, send, stop } from "../conversation.js";
import { model } from "../model.js";
import { Icon } from "./icons.js";

export function Composer() {
  const [text, setText] = useState("");
  const field = useRef<HTMLTextAreaElement>(null);
  const ready = model.value.phase === "ready";
  const busy = answering.value;

  // Typing can start at once where a keyboard is at hand; on a phone it would hide half the page.
  useEffect(() => {
    if (ready && matchMedia("(hover: hover) and (pointer: fine)").matches) field.current?.focus();
  }, [ready]);

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key === "Escape" && answering.value && !document.querySelector("dialog[open]"))
        stop();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);

  const submit = () => {
    if (!ready || busy || text.trim() === "") return;
    send(text);
    setText("");
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
        rows={1}
        value={text}
        placeholder={ready ? "Ask something" : "The model is not loaded yet"}
        aria-describedby="message-help"
        enterkeyhint="send"
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
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
