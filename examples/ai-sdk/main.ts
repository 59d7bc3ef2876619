// Vercel's AI SDK, as it is: `createFetch` takes its requests to the page's engine, and the SDK runs the tool that the model calls.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { isStepCount, type LanguageModel, streamText, tool } from "ai";
import { Engine } from "webbuild";
import { createFetch } from "webbuild/http";
import * as z from "zod";

const form = document.querySelector("form") as HTMLFormElement;
const log = document.querySelector("ol") as HTMLOListElement;
const output = document.querySelector("output") as HTMLOutputElement;
const problem = document.querySelector("[role=alert]") as HTMLParagraphElement;

const get_time = tool({
  description: "Get the current time in a city",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => {
    const timeZone = Intl.supportedValuesOf("timeZone").find((zone) => zone.endsWith(`/${city}`));
    if (!timeZone) return { status: "error" };
    const time = new Date().toLocaleTimeString("en-GB", { timeZone, timeStyle: "short" });
    return { time };
  },
});

async function load(): Promise<LanguageModel> {
  const engine = await Engine.load("/packs/demo/");
  const provider = createOpenAICompatible({
    name: "webbuild",
    baseURL: "http://page/v1", // any origin: nothing is fetched from there
    fetch: createFetch(engine),
  });
  return provider(engine.info.model.name);
}

const loading = load();
loading.catch(show);

function show(error: unknown) {
  problem.textContent = String(error);
}

function add(line: string) {
  log.append(Object.assign(document.createElement("li"), { textContent: line }));
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  log.replaceChildren();
  output.textContent = problem.textContent = "";
  try {
    const { fullStream } = streamText({
      model: await loading,
      prompt: String(new FormData(form).get("question")),
      tools: { get_time },
      stopWhen: isStepCount(5),
      temperature: 0,
      maxOutputTokens: 64,
      onError: () => {}, // it comes as a part, too
    });
    for await (const part of fullStream) {
      if (part.type === "text-delta") output.append(part.text);
      if (part.type === "tool-call") add(`${part.toolName}(${JSON.stringify(part.input)})`);
      if (part.type === "tool-result") add(JSON.stringify(part.output));
      if (part.type === "tool-error" || part.type === "error") show(part.error);
    }
  } catch (error) {
    show(error);
  }
});
