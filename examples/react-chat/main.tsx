import { createRoot } from "react-dom/client";
import { useChat } from "./use_chat.js";

function Chat() {
  const { messages, answering, problem, ask, stop } = useChat("/packs/demo/");
  return (
    <main>
      <ol>
        {messages.map(({ role, content }, i) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: messages are only added
          <li key={i} data-role={role}>
            {String(content)}
          </li>
        ))}
      </ol>
      <form action={(form: FormData) => void ask(String(form.get("question")))}>
        <input name="question" aria-label="Question" autoComplete="off" disabled={answering} />
        <button type="submit" disabled={answering}>
          Ask
        </button>
        {answering && (
          <button type="button" onClick={stop}>
            Stop
          </button>
        )}
      </form>
      <p role="alert">{problem}</p>
    </main>
  );
}

createRoot(document.getElementById("app") as HTMLElement).render(<Chat />);
