// OpenAI's client, as it is: it fetches from `v1/` below this page, and a service worker has the page's engine answer.
import OpenAI from "openai";
import { Engine } from "webbuild";
import { serveV1 } from "webbuild/http";

const form = document.querySelector("form") as HTMLFormElement;
const output = document.querySelector("output") as HTMLOutputElement;
const problem = document.querySelector("[role=alert]") as HTMLParagraphElement;

async function start(): Promise<OpenAI> {
  const engine = await Engine.load("/packs/demo/");
  const { baseURL } = await serveV1(engine, { script: "sw.js", type: "module" });
  // No key is needed, so none can leak; that is what the client warns of.
  return new OpenAI({ baseURL, apiKey: "none", dangerouslyAllowBrowser: true });
}

const starting = start();
starting.catch(show);

function show(error: unknown) {
  problem.textContent = String(error);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  output.textContent = problem.textContent = "";
  const content = String(new FormData(form).get("question"));
  try {
    const client = await starting;
    const { data } = await client.models.list();
    const stream = await client.chat.completions.create({
      model: data[0]?.id ?? "",
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
