// `make demo`: serves the built chat site, opens it in a real headless browser, asks the demo model
// one question through the npm package, and prints the answer as it streams.
//
//   node scripts/demo.mjs [--once] [--port N] [QUESTION]    --once: stop after the answer

import { once } from "node:events";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { chosenAdapter, launch } from "./browser.mjs";
import { serve } from "./serve.mjs";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { once: { type: "boolean", default: false }, port: { type: "string", default: "8000" } },
});
const question = positionals.join(" ") || "What is webbuild?";
const site = fileURLToPath(new URL("../demo_site/dist", import.meta.url));
if (!existsSync(`${site}/packs/demo/pack.json`)) {
  console.error("The demo pack is missing: demo_site/public/packs/demo/pack.json");
  process.exit(1);
}

// The address that people get is worth a fixed port; a run that stops at once takes any.
const server = await serve(site, { port: options.once ? 0 : Number(options.port) });
try {
  await ask(server.url, question);
  if (!options.once) {
    console.log(`\nThe chat page: ${server.url}   (Ctrl-C stops)`);
    await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM"), server.exited]);
  } else {
    console.log(`\nThe chat page was ${server.url}; \`make demo\` keeps it.`);
  }
} finally {
  await server.close();
}

/**
 * @param {string} url
 * @param {string} question
 */
async function ask(url, question) {
  const adapter = chosenAdapter();
  const browser = await launch(adapter);
  try {
    const page = await browser.newPage();
    await page.exposeFunction("print", (/** @type {string} */ text) => process.stdout.write(text));
    page.on("console", (message) => message.type() === "error" && console.error(message.text()));
    // A page of that site with nothing on it: the chat would load the model a second time beside this one.
    await page.route(`${url}empty`, (route) =>
      route.fulfill({ contentType: "text/html", body: "<!doctype html>" }),
    );
    await page.goto(`${url}empty`);
    console.log(`Chromium ${browser.browser()?.version() ?? ""} on ${adapter}, ${url}`);
    await page.evaluate(async (question) => {
      const print = /** @type {(text: string) => Promise<void>} */ (
        /** @type {any} */ (globalThis).print
      );
      const { Engine } = await import(new URL("webbuild/index.js", location.href).href);
      const engine = await Engine.load("packs/demo/");
      const { model, quantization, tier, bytes } = engine.info;
      const memory = `${(bytes.total / 1e6).toFixed(1)} MB of GPU memory`;
      await print(`${model.name} (${quantization}), ${tier} tier, ${memory}\n`);
      await print(`\n> ${question}\n\n`);
      const stream = await engine.chat.completions.create({
        messages: [{ role: "user", content: question }],
        stream: true,
        stream_options: { include_usage: true },
        temperature: 0,
        max_tokens: 256,
      });
      let usage = null;
      for await (const chunk of stream) {
        await print(chunk.choices[0]?.delta?.content ?? "");
        usage = chunk.usage ?? usage;
      }
      await print(
        `\n\n${usage.prompt_tokens} prompt tokens, ${usage.completion_tokens} answered\n`,
      );
      await engine.unload();
    }, question);
  } finally {
    await browser.close();
  }
}
