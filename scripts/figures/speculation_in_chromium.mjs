// Answers with and without guessed tokens, in turns, in engines side by side in Chromium.
//
//   node scripts/figures/speculation_in_chromium.mjs SITE '{"workloads": {"chat": [[…messages]]}, "tokens": 64, "rounds": 2}'
//
// SITE holds index.html, webbuild/ (the built package), pack/ and draft/. The last line of standard output is one JSON object:
// for each workload and each way, of each round, tokens, milliseconds, steps and guesses; and whether all gave the same answers.

import { chosenAdapter, launch, talkingPage } from "../browser.mjs";
import { serve } from "../serve.mjs";

const [site = "", options = "{}"] = process.argv.slice(2);

const server = await serve(site);
const browser = await launch(chosenAdapter());
try {
  const page = await talkingPage(browser);
  await page.goto(server.url);
  const answer = await page.evaluate(async ({ workloads, tokens, rounds, context, pause }) => {
    const { Engine } = await import(new URL("webbuild/index.js", location.href).href);
    // Engines of their own with room for one context: nobody finds a prompt computed.
    const load = { contextLength: context, kvTokens: context };
    const drafted = await Engine.load("pack/", { ...load, draft: "draft/" });
    /** @type {Record<string, {engine: any, speculation: any}>} */
    const ways = {
      off: { engine: await Engine.load("pack/", load), speculation: "off" },
      prompt: { engine: await Engine.load("pack/", load), speculation: "auto" },
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
      const { guessed, accepted } = stats.speculation;
      return { guessed, accepted, steps: stats.steps };
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
    const none = () => ({ tokens: 0, ms: 0, guessed: 0, accepted: 0, steps: 0 });
    // The first round is not counted: much runs for the first time in it. Ways take turns with each request, as does who is first.
    for (let round = 0; round <= rounds; round++) {
      for (const [name, requests] of Object.entries(workloads)) {
        results[name] ??= Object.fromEntries(Object.keys(ways).map((way) => [way, []]));
        const sums = Object.fromEntries(Object.keys(ways).map((way) => [way, none()]));
        for (const [at, request] of requests.entries()) {
          const order = Object.keys(ways).map((_, i, all) => all[(i + at + round) % all.length]);
          /** @type {string | undefined} */
          let text;
          for (const way of /** @type {string[]} */ (order)) {
            // The last answer's surplus steps are its own.
            await new Promise((resolve) => setTimeout(resolve, pause));
            const of = /** @type {Record<string, number>} */ (sums[way]);
            const before = /** @type {Record<string, number>} */ (await counts(way));
            const begin = performance.now();
            const answer = await ask(way, request);
            of.ms = (of.ms ?? 0) + performance.now() - begin;
            const after = /** @type {Record<string, number>} */ (await counts(way));
            for (const [key, count] of Object.entries(after))
              of[key] = (of[key] ?? 0) + count - (before[key] ?? 0);
            of.tokens = (of.tokens ?? 0) + answer.tokens;
            text ??= answer.text;
            same &&= text === answer.text;
          }
        }
        if (round > 0) for (const way of Object.keys(ways)) results[name][way].push(sums[way]);
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
