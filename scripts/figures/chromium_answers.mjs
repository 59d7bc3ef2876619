// Greedy answers of a pack in Chromium, through the npm package.
//
//   node scripts/figures/chromium_answers.mjs SITE MAX_TOKENS < conversations.json
//
// SITE holds index.html, webbuild/ (the built package) and pack/. Standard input is a JSON list of
// message lists; the last line of standard output is the JSON list of answers.

import { readFileSync } from "node:fs";
import { chosenAdapter, launch } from "../browser.mjs";
import { serve } from "../serve.mjs";

const [site = "", maxTokens = "80"] = process.argv.slice(2);
const conversations = JSON.parse(readFileSync(0, "utf8"));

const server = await serve(site);
const browser = await launch(chosenAdapter());
try {
  const page = await browser.newPage();
  page.on("console", (message) => message.type() === "error" && console.error(message.text()));
  page.on("pageerror", (error) => console.error(error.message));
  await page.goto(server.url);
  await page.evaluate(async () => {
    const { Engine } = await import(new URL("webbuild/index.js", location.href).href);
    /** @type {any} */ (globalThis).engine = await Engine.load("pack/");
  });
  const answers = [];
  for (const messages of conversations) {
    answers.push(
      await page.evaluate(
        async ([messages, max_tokens]) => {
          const { engine } = /** @type {any} */ (globalThis);
          const request = { messages, max_tokens, temperature: 0, stream: false };
          const completion = await engine.chat.completions.create(request);
          return completion.choices[0].message.content;
        },
        [messages, Number(maxTokens)],
      ),
    );
  }
  console.log(JSON.stringify(answers));
} finally {
  await browser.close();
  await server.close();
}
