// Written for Chrome's Prompt API; `installLanguageModel` makes it run where there is none.
import { installLanguageModel, type LanguageModelTool } from "webbuild/prompt-api";

const [form, called, answer, usage] = ["form", "#called", "#answer", "#usage"].map((s) =>
  document.querySelector(s),
);
const progress = document.querySelector("progress") as HTMLProgressElement;
const problem = document.querySelector("[role=alert]") as HTMLParagraphElement;

/** In place of a weather service. */
const getWeather: LanguageModelTool = {
  name: "get_weather",
  description: "Get the weather in a city",
  inputSchema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  async execute(input: { city: string }) {
    if (called) called.textContent = `get_weather(${JSON.stringify(input)})`;
    return JSON.stringify({ temperature: 21, sky: "sunny" });
  },
};

async function start() {
  const LanguageModel = await installLanguageModel("/packs/demo/");
  return LanguageModel.create({
    initialPrompts: [{ role: "system", content: "You are a helpful assistant." }],
    samplingMode: "most-predictable",
    tools: [getWeather],
    expectedInputs: [{ type: "text" }, { type: "tool-response" }],
    expectedOutputs: [{ type: "text" }, { type: "tool-call" }],
    monitor: (m) =>
      m.addEventListener("downloadprogress", (event) => {
        progress.value = (event as ProgressEvent).loaded;
      }),
  });
}

const loading = start();
loading.catch(show);

function show(error: unknown) {
  problem.textContent = String(error);
}

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const question = String(new FormData(event.target as HTMLFormElement).get("question"));
  let text = "";
  problem.textContent = "";
  called?.replaceChildren();
  try {
    const session = await (await loading).clone(); // each question stands alone
    for await (const piece of session.promptStreaming(question)) {
      text += piece;
      if (answer) answer.textContent = text;
    }
    if (usage) usage.textContent = `${session.contextUsage} of ${session.contextWindow} tokens`;
    session.destroy();
  } catch (error) {
    show(error);
  }
});
