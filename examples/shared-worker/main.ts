// The tabs of a site share one engine: one copy of the weights, answered side by side. It ends with the last tab.
import { Engine } from "webbuild";

const form = document.querySelector("form") as HTMLFormElement;
const which = document.querySelector("#engine") as HTMLParagraphElement;
const output = document.querySelector("output") as HTMLOutputElement;
const problem = document.querySelector("[role=alert]") as HTMLParagraphElement;

async function load(): Promise<Engine> {
  const engine = await Engine.load("/packs/demo/", { worker: "shared" });
  which.textContent = `Engine ${engine.id}`;
  return engine;
}

const loading = load();
loading.catch(show);

function show(error: unknown) {
  problem.textContent = String(error);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  output.textContent = problem.textContent = "";
  const content = String(new FormData(form).get("question"));
  try {
    const { chat } = await loading;
    const stream = await chat.completions.create({
      messages: [{ role: "user", content }],
      temperature: 0,
      max_tokens: 64,
      stream: true,
    });
    for await (const { choices } of stream) output.append(choices[0]?.delta.content ?? "");
  } catch (error) {
    show(error);
  }
});
