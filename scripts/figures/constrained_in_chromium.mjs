// Answers that must match a JSON Schema, and free ones, in turns, in one engine in Chromium.
//
//   node scripts/figures/constrained_in_chromium.mjs SITE '{"schema": {…}, "tokens": 64, "rounds": 2, "requests": 1, "temperature": 1}'
//
// SITE holds index.html, webbuild/ (the built package) and pack/. The last line of standard output is one JSON object: for each
// way the milliseconds per token of each round, by the clock and of processor time, and what the engine says of masks and jumps.

import { chosenAdapter, launch, talkingPage } from "../browser.mjs";
import { processorMs } from "../processes.mjs";
import { serve } from "../serve.mjs";

const [site = "", options = "{}"] = process.argv.slice(2);

const server = await serve(site);
const browser = await launch(chosenAdapter());
try {
  const page = await talkingPage(browser);
  await page.exposeFunction("processorMs", processorMs);
  await page.goto(server.url);
  const answer = await page.evaluate(async ({ schema, tokens, rounds, requests, temperature }) => {
    const { Engine } = await import(new URL("webbuild/index.js", location.href).href);
    const engine = await Engine.load("pack/", { contextLength: tokens + 128 });
    const constrained = {
      response_format: { type: "json_schema", json_schema: { name: "weather", schema } },
    };
    /** @type {Record<string, any>} */
    const ways = {
      free: { webbuild: { ignore_eos: true, speculation: "off" } },
      constrained: { ...constrained, webbuild: { jump_forward: false } },
      jumping: { ...constrained },
    };
    const messages = [{ role: "user", content: "The weather of a thousand cities, please." }];
    /**
     * Milliseconds per token after the first: of several answers at once as the page sees them, of one alone by the engine's
     * clock, as texts come to the page in lots of 16 ms.
     */
    const ask = async (/** @type {string} */ way, seed = 1, max_tokens = tokens) => {
      const stream = await engine.chat.completions.create({
        messages,
        max_tokens,
        temperature,
        seed,
        stream: true,
        stream_options: { include_usage: true },
        ...ways[way],
      });
      let [first, last, text, count] = [0, 0, "", 0];
      for await (const chunk of stream) {
        const now = performance.now();
        const content = chunk.choices[0]?.delta.content;
        if (content) {
          first ||= now;
          last = now;
          text += content;
        }
        if (chunk.usage) count = chunk.usage.completion_tokens;
      }
      if (count !== max_tokens) throw new Error(`${way}: ${count} tokens`);
      if (requests > 1) return { ms: (last - first) / (count - 1), text };
      return { ms: 1000 / (await engine.stats()).decodeTokensPerSecond, text };
    };
    // What is needed first is compiled: kernels, the grammar, and its masks.
    const begin = performance.now();
    await ask("constrained", 1, 2);
    const compile_ms = performance.now() - begin;
    for (const way of Object.keys(ways)) await ask(way);
    const before = await engine.stats();
    /** @type {any} */
    const results = {};
    let valid = true;
    for (let round = 0; round < rounds; round++) {
      for (const way of Object.keys(ways)) {
        results[way] ??= { ms: [], processor: [], ahead: 0, strayed: 0 };
        const { constrained: earlier } = await engine.stats();
        const spent = await processorMs();
        const all = Array.from({ length: requests }, (_, i) => ask(way, 1 + round * requests + i));
        const answers = await Promise.all(all);
        results[way].processor.push(((await processorMs()) - spent) / (requests * tokens));
        results[way].ms.push(answers.reduce((sum, { ms }) => sum + ms, 0) / requests);
        const { constrained: later } = await engine.stats();
        results[way].ahead += later.aheadDraws - earlier.aheadDraws;
        results[way].strayed += later.strayedDraws - earlier.strayedDraws;
        if (way !== "free")
          valid &&= answers.every(({ text }) => /^\s*\[\s*\{\s*"city"/.test(text));
      }
    }
    const after = await engine.stats();
    const jumped = after.constrained.jumpedTokens - before.constrained.jumpedTokens;
    const { tier, adapter } = engine.info;
    return {
      ways: results,
      valid,
      compile_ms,
      mask_us: after.constrained.maskUs,
      jumped: jumped / (rounds * requests * tokens),
      tier,
      adapter: adapter.description || adapter.vendor,
    };
  }, JSON.parse(options));
  console.log(JSON.stringify(answer));
} finally {
  await browser.close();
  await server.close();
}
