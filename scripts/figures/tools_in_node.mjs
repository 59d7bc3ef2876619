// `node tools_in_node.mjs RUNTIME PACK < QUESTIONS`: for `make figure-tools`; says how many answers are right.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const [runtime, pack] = process.argv.slice(2).map((path) => resolve(path));
const root = fileURLToPath(new URL("../../runtime_js/", import.meta.url));
const { create } = createRequire(root)("webgpu");
const { Engine } = await import(pathToFileURL(join(runtime, "index.js")).href);
const questions = JSON.parse(readFileSync(0, "utf8"));
const engine = await Engine.load(pack, { worker: false, gpu: create([]), contextLength: 512 });

/** The answer as an item has it. */
async function answer({ messages, tools }, tool_choice, constrain_tools) {
  const { choices } = await engine.chat.completions.create({
    messages,
    tools,
    tool_choice,
    parallel_tool_calls: false,
    temperature: 0,
    max_tokens: 80,
    webbuild: { constrain_tools },
  });
  const { content, tool_calls: calls = [] } = choices[0].message;
  const [call] = calls.map(({ function: { name, arguments: args } }) => ({ name, args }));
  return { call, count: calls.length, content };
}

function isRight({ call, count, content }, wanted) {
  if (!wanted.call) return count === 0 && content?.trim() === wanted.content.trim();
  if (count !== 1 || call.name !== wanted.call.name) return false;
  try {
    return JSON.stringify(JSON.parse(call.args)) === JSON.stringify(wanted.call.arguments);
  } catch {
    return false;
  }
}

const rows = [];
const misses = [];
const kinds = {
  auto: () => "auto",
  required: () => "required",
  named: ({ call }) => ({ type: "function", function: { name: call.name } }),
};
for (const task of new Set(questions.map((q) => q.task))) {
  for (const [choice, of] of Object.entries(kinds)) {
    const asked = questions.filter((q) => q.task === task && (choice === "auto" || q.call));
    if (asked.length === 0) continue;
    const row = { task, choice, items: asked.length, constrained: 0, free: 0 };
    for (const question of asked) {
      for (const kind of ["constrained", "free"]) {
        const given = await answer(question, of(question), kind === "constrained");
        if (isRight(given, question)) row[kind]++;
        else if (choice === "auto")
          misses.push({
            kind,
            question: question.messages.at(-1).content,
            wanted: question.call ?? question.content,
            given: given.call ?? given.content,
          });
      }
    }
    rows.push(row);
    console.log(JSON.stringify(row));
  }
}
await engine.unload();
console.log(JSON.stringify({ rows, misses }));
