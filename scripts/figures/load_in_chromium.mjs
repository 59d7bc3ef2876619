// Loads a pack in Chromium twice and generates a few tokens after the second time.
//
//   node scripts/figures/load_in_chromium.mjs SITE TOKENS CONTEXT
//
// SITE holds index.html, webbuild/ (the built package) and pack/. Progress goes to standard error; the last line of
// standard output is one JSON object.

import { chosenAdapter, launch } from "../browser.mjs";
import { serve } from "../serve.mjs";

const [site = "", tokens = "4", contextLength = "256"] = process.argv.slice(2);

const server = await serve(site);
const browser = await launch(chosenAdapter());
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(0);
  page.on("console", (message) => console.error(message.text()));
  page.on("pageerror", (error) => console.error(error.message));
  const loads = [];
  for (const start of ["cold", "cached"]) {
    await page.goto(server.url);
    loads.push({
      start,
      ...(await page.evaluate(
        async ([max_tokens, contextLength, asked]) => {
          const { Engine } = await import(new URL("webbuild/index.js", location.href).href);
          const can = await Engine.canRun("pack/", { contextLength });
          if (!can.ok) throw new Error(can.reasons.join("; "));
          let told = 0;
          const begin = performance.now();
          const engine = await Engine.load("pack/", {
            contextLength,
            onProgress: (/** @type {any} */ { phase, loadedBytes, totalBytes }) => {
              const now = performance.now();
              if (now - told < 10_000) return;
              told = now;
              console.info(
                `${phase} ${(loadedBytes / 1e6).toFixed(0)} of ${(totalBytes / 1e6).toFixed(0)} MB`,
              );
            },
          });
          const ready = performance.now();
          const messages = [{ role: "user", content: "Hi" }];
          const answer = asked
            ? await engine.chat.completions.create({ messages, max_tokens, temperature: 0 })
            : null;
          const done = performance.now();
          const stats = await engine.stats();
          const { tier, bytes } = engine.info;
          await engine.unload();
          return {
            tier,
            gpu_mb: Math.round(bytes.total / 1e6),
            predicted_mb: Math.round(can.bytes.total / 1e6),
            network_mb: Math.round(stats.networkBytes / 1e6),
            load_s: Math.round(ready - begin) / 1e3,
            answer_s: answer ? Math.round(done - ready) / 1e3 : null,
            prompt_tokens: answer?.usage.prompt_tokens ?? null,
            completion_tokens: answer?.usage.completion_tokens ?? null,
            text: answer?.choices[0].message.content ?? null,
          };
        },
        [Number(tokens), Number(contextLength), start === "cached"],
      )),
    });
  }
  console.log(JSON.stringify({ loads }));
} finally {
  await browser.close();
  await server.close();
}
