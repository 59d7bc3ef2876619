// Answers with and without guessed tokens, in turns, in engines side by side in Chromium.
//
//   node scripts/figures/speculation_in_chromium.mjs SITE '{"workloads": {"chat": [[…messages]]}, "tokens": 64, "rounds": 2}'
//
// SITE holds index.html, webbuild/ (the built package), pack/ and draft/. The last line of standard output is one JSON object:
// for each workload and each way, tokens, milliseconds of each round, and guesses; and whether all ways gave the same answers.

import { chosenAdapter, launch, talkingPage } from "../browser.mjs";
import { serve } from "../serve.mjs";

const [site = "", options = "{}"] = process.argv.slice(2);

const server = await serve(site);
const browser = await launch(chosenAdapter());
try {
  const page = await talkingPage(browser);
  await page.goto(server.url);
  const answer = await page.evaluate(async ({ workloads, tokens, rounds, context }) => {
    const { Engine } = await import(new URL("webbuild/index.js", location.href).href);
    // Room for one context alone: no round finds the prompts of the one before.
    const load = { contextLength: context, kvTokens: context };
    const alone = await Engine.load("pack/", load);
    const drafted = await Engine.load("pack/", { ...load, draft: "draft/" });
    /** @type {Record<string, {engine: any, speculation: any}>} */
    const ways = {
      off: { engine: alone, speculation: "off" },
      prompt: { engine: alone, speculation: "auto" },
      draft: { engine: drafted, speculation: "auto" },
    };
    const ask = async (/** @type {string} */ way, /** @type {any} */ request) => {
      const { engine, speculation } = /** @type {{engine: any, speculation: any}} */ (ways[way]);
      const { choices, usage } = await engine.chat.completions.create({
        ...request,
        max_tokens: tokens,
        webbuild: { speculation },
      });
      return { text: choices[0].message.content, tokens: usage.completion_tokens };
    };
    const counts = async (/** @type {string} */ way) => {
      const stats = await ways[way]?.engine.stats();
      const { speculation, steps } = stats;
      return { guessed: speculation.guessed, accepted: speculation.accepted, steps };
    };
    // First answers compile what they need, kernels for guesses too.
    const warm = {
      messages: [{ role: "user", content: "Say: one two one two one two" }],
      temperature: 0,
    };
    for (const way of Object.keys(ways)) {
      for (const speculation of [
        { tokens: 1 },
        { tokens: 3 },
        { tokens: 7 },
        { tokens: 15 },
        "auto",
      ]) {
        const request = { ...warm, max_tokens: 24, webbuild: { speculation } };
        for (let i = 0; i < 2; i++) await ways[way]?.engine.chat.completions.create(request);
      }
    }
    /** @type {any} */
    const results = {};
    let same = true;
    // The first round is not counted: much runs for the first time in it.
    for (let round = 0; round <= rounds; round++) {
      for (const [name, requests] of Object.entries(workloads)) {
        results[name] ??= {};
        /** @type {string[] | undefined} */
        let texts;
        // Another goes first in each round.
        const order = Object.keys(ways).map((_, i, all) => all[(i + round) % all.length]);
        for (const way of /** @type {string[]} */ (order)) {
          results[name][way] ??= { tokens: 0, ms: [], guessed: 0, accepted: 0, steps: 0 };
          const of = results[name][way];
          if (round === 1)
            Object.assign(of, { tokens: 0, ms: [], guessed: 0, accepted: 0, steps: 0 });
          const before = await counts(way);
          const begin = performance.now();
          const answers = [];
          for (const request of requests) answers.push(await ask(way, request));
          of.ms.push(performance.now() - begin);
          const after = await counts(way);
          for (const key of ["guessed", "accepted", "steps"]) of[key] += after[key] - before[key];
          of.tokens += answers.reduce((sum, { tokens }) => sum + tokens, 0);
          const own = answers.map(({ text }) => text);
          texts ??= own;
          same &&= own.every((text, i) => text === texts?.[i]);
        }
      }
    }
    const { tier, adapter, draft } = drafted.info;
    const bytes = drafted.info.bytes.weights - draft.bytes.weights;
    return { results, same, tier, adapter: adapter.description || adapter.vendor, bytes, draft };
  }, JSON.parse(options));
  console.log(JSON.stringify(answer));
} finally {
  await browser.close();
  await server.close();
}
