import { Engine } from "webbuild";

const [form, log] = [document.querySelector("form"), document.querySelector("pre")];
const loading = Engine.load("/packs/demo/");
const messages = [];
form.onsubmit = async (event) => {
  event.preventDefault();
  messages.push({ role: "user", content: form.question.value });
  const engine = await loading;
  const { choices } = await engine.chat.completions.create({ messages, max_tokens: 64 });
  messages.push(choices[0].message);
  log.textContent = messages.map(({ role, content }) => `${role}: ${content}`).join("\n");
};
