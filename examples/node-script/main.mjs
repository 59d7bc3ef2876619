// node main.mjs PACK QUESTION: streams an answer to the terminal, on this machine's GPU.
import { Engine } from "webbuild";
import { create } from "webgpu";

const [pack, content] = process.argv.slice(2);
const engine = await Engine.load(pack, { worker: false, gpu: create([]) });
const stream = await engine.chat.completions.create({
  messages: [{ role: "user", content }],
  max_tokens: 64,
  stream: true,
});
for await (const { choices } of stream) process.stdout.write(choices[0]?.delta.content ?? "");
process.stdout.write("\n");
await engine.unload();
