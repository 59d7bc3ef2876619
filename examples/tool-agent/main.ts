import { type ChatCompletionMessageParam, Engine } from "webbuild";
import { runAgent } from "./agent.js";

const form = document.querySelector("form") as HTMLFormElement;
const log = document.querySelector("ol") as HTMLOListElement;
const problem = document.querySelector("[role=alert]") as HTMLParagraphElement;
const loading = Engine.load("/packs/demo/");
loading.catch(show);

function show(error: unknown) {
  problem.textContent = String(error);
}

/** Adds a message to the log; calls as they would be written in a program. */
function add(message: ChatCompletionMessageParam) {
  const calls = message.role === "assistant" ? (message.tool_calls ?? []) : [];
  const lines = calls.map((call) =>
    call.type === "function" ? `${call.function.name}(${call.function.arguments})` : call.type,
  );
  const item = document.createElement("li");
  item.dataset["role"] = calls.length ? "call" : message.role;
  item.textContent = [message.content, ...lines].filter(Boolean).join("\n");
  log.append(item);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  problem.textContent = "";
  log.replaceChildren();
  const question = String(new FormData(form).get("question"));
  try {
    for await (const message of runAgent(await loading, question)) add(message);
  } catch (error) {
    show(error);
  }
});
