// The popup: it connects to the engine, and is gone when it closes; the engine stays.
import { connectExtension } from "./webbuild/extension.js";
import { Engine } from "./webbuild/index.js";

const form = document.querySelector("form");
const status = document.querySelector("[role=status]");
const answer = document.querySelector("output");

const engine = await Engine.load("packs/demo/", {
  worker: connectExtension(),
  onProgress: ({ phase, loadedBytes, totalBytes }) => {
    status.textContent = `Loading: ${phase}, ${loadedBytes} of ${totalBytes} bytes`;
  },
}).catch((error) => {
  status.textContent = String(error);
  throw error;
});
status.textContent = `${engine.info.model.name} is ready`;
form.elements[1].disabled = false;

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  answer.textContent = "";
  try {
    const stream = await engine.chat.completions.create({
      messages: [{ role: "user", content: form.elements.question.value }],
      temperature: 0,
      stream: true,
    });
    for await (const chunk of stream) answer.append(chunk.choices[0]?.delta.content ?? "");
  } catch (error) {
    status.textContent = String(error);
  }
});
