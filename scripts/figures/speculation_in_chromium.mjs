// Answers with and without guessed tokens, in turns in one engine in Chromium: one that has no draft, and one that has.
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
    // Room for one context, and no prompt twice in a row: nobody finds a prompt computed. On and off are of one engine, as two that do
    // the same differ by more than guessing may cost.
    const load = { contextLength: context, kvTokens: context };
    const drafted = await Engine.load("pack/", { ...load, draft: "draft/" });
    const plain = await Engine.load("pack/", load);
    const engines = { prompt: plain, draft: drafted };
    /** What is asked of each engine. Off comes twice: how far it seems to be from itself is how little can be told. */
    const ways = { off: "off", again: "off", on: "auto" }; // three, as the order counts on
    const counts = async (/** @type {any} */ engine) => {
      const stats = await engine.stats();
      const { guessed, accepted } = stats.speculation;
      return { guessed, accepted, steps: stats.steps };
    };
    /** Adds what a request takes to the sums; its answer. */
    const ask = async (
      /** @type {any} */ engine,
      /** @type {any} */ speculation,
      /** @type {any} */ request,
      /** @type {Record<string, number>} */ sums,
    ) => {
      // The last answer's surplus steps are its own.
      await new Promise((resolve) => setTimeout(resolve, pause));
      const before = /** @type {Record<string, number>} */ (await counts(engine));
      const begin = performance.now();
      const { choices, usage } = await engine.chat.completions.create({
        ...request,
        max_tokens: tokens,
        webbuild: { speculation },
      });
      const ms = performance.now() - begin;
      const after = /** @type {Record<string, number>} */ (await counts(engine));
      for (const [key, count] of Object.entries(after))
        sums[key] = (sums[key] ?? 0) + count - (before[key] ?? 0);
      sums["ms"] = (sums["ms"] ?? 0) + ms;
      sums["tokens"] = (sums["tokens"] ?? 0) + usage.completion_tokens;
      return choices[0].message.content;
    };
    // First answers compile what they need, kernels for guesses too.
    const warm = {
      messages: [{ role: "user", content: "Say: one two one two one two" }],
      temperature: 0,
    };
    for (const engine of Object.values(engines)) {
      for (const speculation of [...[1, 3, 7, 15].map((tokens) => ({ tokens })), "auto"]) {
        for (let i = 0; i < 2; i++) await ask(engine, speculation, warm, {});
      }
    }
    /** @type {any} */
    const results = {};
    let same = true;
    // The first round is not counted: much runs for the first time in it. Ways take turns with each request.
    for (let round = 0; round <= rounds; round++) {
      for (const [name, requests] of Object.entries(workloads)) {
        results[name] ??= {};
        /** @type {string[]} */
        const texts = [];
        for (const [guesses, engine] of Object.entries(engines)) {
          const names = Object.keys(ways);
          const sums = names.map(() => ({}));
          for (let turn = 0; turn < names.length; turn++) {
            for (const [at, request] of requests.entries()) {
              // Every way follows every other as often.
              const way = (turn + (round % 2 === 0 ? at : 2 * at) + round) % names.length;
              const speculation = Object.values(ways)[way];
              const text = await ask(engine, speculation, request, sums[way] ?? {});
              texts[at] ??= text;
              same &&= texts[at] === text;
            }
          }
          results[name][guesses] ??= Object.fromEntries(names.map((way) => [way, []]));
          if (round === 0) continue;
          for (const [i, way] of names.entries()) results[name][guesses][way].push(sums[i]);
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
