// Written for Chrome's Prompt API; `installLanguageModel` makes it run where there is none.
import { installLanguageModel } from "webbuild/prompt-api";

const [form, answer, usage] = ["form", "#answer", "#usage"].map((s) => document.querySelector(s));
const progress = document.querySelector("progress") as HTMLProgressElement;

async function start() {
  const LanguageModel = await installLanguageModel("/packs/demo/");
  return LanguageModel.create({
    initialPrompts: [{ role: "system", content: "You are a helpful assistant." }],
    samplingMode: "most-predictable",
    monitor: (m) =>
      m.addEventListener("downloadprogress", (event) => {
        progress.value = (event as ProgressEvent).loaded;
      }),
  });
}

const loading = start();
form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const session = await (await loading).clone(); // each question stands alone
  const question = String(new FormData(event.target as HTMLFormElement).get("question"));
  let text = "";
  for await (const piece of session.promptStreaming(question)) {
    text += piece;
    if (answer) answer.textContent = text;
  }
  if (usage) usage.textContent = `${session.contextUsage} of ${session.contextWindow} tokens`;
});
