// Two engines in Chromium, a worker each, behind a router: the answers of five strategies, and what long prompts cost those
// who ask something short meanwhile.
//
//   node scripts/figures/router_in_chromium.mjs SITE '{"requests": 200, "lanes": 8, "blocks": 3, "longs": 6, "words": 350}'
//
// SITE holds index.html, webbuild/ (the built package) and pack/. The last line of standard output is one JSON object.

import { chosenAdapter, launch, talkingPage } from "../browser.mjs";
import { serve } from "../serve.mjs";

const [site = "", options = "{}"] = process.argv.slice(2);

const server = await serve(site);
const browser = await launch(chosenAdapter());
try {
  const page = await talkingPage(browser);
  await page.exposeFunction("say", (/** @type {string} */ text) => console.error(text));
  await page.goto(server.url);
  const answer = await page.evaluate(async ({ requests, lanes, blocks, longs, words }) => {
    const { say } = /** @type {any} */ (globalThis);
    const { Engine } = await import(new URL("webbuild/index.js", location.href).href);
    const strategies = await import(new URL("webbuild/router.js", location.href).href);
    const { Router, roundRobin, prefillDecode, balancedSplit, kvMigration, cacheAware } =
      strategies;
    const load = () => Engine.load("pack/", { contextLength: 2048 });
    const engines = [await load(), await load()];
    const alone = await load();

    let sends = 0;
    for (const engine of engines) {
      const remoteSend = engine.remoteSend.bind(engine);
      engine.remoteSend = async (/** @type {any[]} */ ...call) => {
        await remoteSend(...call);
        sends++;
      };
    }

    /** A text of so many words that begins unlike any with another number. */
    const text = (/** @type {number} */ number, /** @type {number} */ count) =>
      Array.from({ length: count }, (_, w) => (number * 131 + w * 7) % 997).join(" ");
    /** Every tenth is long, every third one of ten conversations that go on. */
    const question = (/** @type {number} */ i) => {
      const topic = i % 3 === 0 ? text(i % 10, 25) : "";
      return [
        { role: "user", content: `${topic} ${text(1000 + i, i % 10 === 7 ? 80 : 6 + (i % 9))}` },
      ];
    };

    /** All questions, `lanes` at a time. */
    const ask = async (/** @type {any} */ asked) => {
      /** @type {any[]} */
      const answers = [];
      let next = 0;
      const lane = async () => {
        while (next < requests) {
          const i = next++;
          const params = { messages: question(i), temperature: 0, max_tokens: 4 + (i % 5) };
          answers[i] = await asked.chat.completions.create(params);
        }
      };
      await Promise.all(Array.from({ length: lanes }, lane));
      return answers;
    };
    const texts = (/** @type {any[]} */ answers) =>
      answers.map(({ choices }) => choices[0].message.content);

    const expected = texts(await ask(alone));
    await alone.unload();
    const long = 100;
    const five = {
      roundRobin: roundRobin(),
      prefillDecode: prefillDecode({ long }),
      balancedSplit: balancedSplit({ long }),
      kvMigration: kvMigration(),
      cacheAware: cacheAware(),
    };
    const identical = [];
    for (const [strategy, make] of Object.entries(five)) {
      sends = 0;
      const begin = performance.now();
      const answers = await ask(new Router(engines, make));
      const same = texts(answers).filter((said, i) => said === expected[i]).length;
      const sum = (/** @type {(usage: any) => number} */ of) =>
        answers.reduce((total, { usage }) => total + of(usage), 0);
      identical.push({
        strategy,
        same,
        sends,
        prompt_tokens: sum((usage) => usage.prompt_tokens),
        cached_tokens: sum((usage) => usage.prompt_tokens_details.cached_tokens),
        seconds: (performance.now() - begin) / 1000,
      });
      say(JSON.stringify(identical.at(-1)));
    }

    // A prefix of k tokens that was sent leaves n - k to compute.
    const [from, to] = engines;
    const migrated = [];
    for (const [i, end] of [17, 64, 100, 333, -1].entries()) {
      const prompt = await from.tokenize(text(5000 + i, 200));
      const { kvAddr } = await to.prepRecv(prompt, { end });
      await from.remoteSend(prompt, { kvAddr, to });
      const { usage } = await to.startGenerate(prompt, { begin: kvAddr.end, max_tokens: 1 });
      const computed = usage.prompt_tokens - usage.prompt_tokens_details.cached_tokens;
      migrated.push({ n: prompt.length, k: kvAddr.end, computed });
    }

    // Long prompts come at a steady pace, short requests more often; both sides get the same at the same times.
    let number = 10_000;
    const stream = async (
      /** @type {any} */ asked,
      /** @type {number} */ count,
      /** @type {number} */ tokens,
    ) => {
      const messages = [{ role: "user", content: text(number++, count) }];
      const begin = performance.now();
      let first;
      const params = { messages, temperature: 0, max_tokens: tokens, stream: true };
      for await (const chunk of await asked.chat.completions.create(params)) {
        if (chunk.choices[0]?.delta.content) first ??= performance.now() - begin;
      }
      return first ?? performance.now() - begin;
    };
    const sides = {
      roundRobin: new Router(engines, roundRobin()),
      prefillDecode: new Router(engines, prefillDecode({ long: 256 })),
    };
    await stream(sides.prefillDecode, words, 8);
    const begin = performance.now();
    await stream(sides.prefillDecode, words, 8);
    const period = 2 * (performance.now() - begin);
    /** @type {Record<string, {short: number[], long: number[]}>} */
    const firsts = Object.fromEntries(
      Object.keys(sides).map((side) => [side, { short: [], long: [] }]),
    );
    for (let block = 0; block < blocks; block++) {
      for (const [side, router] of Object.entries(sides)) {
        /** @type {Promise<unknown>[]} */
        const all = [];
        const result = /** @type {any} */ (firsts[side]);
        const at = (/** @type {number} */ ms, /** @type {() => Promise<void>} */ run) =>
          all.push(new Promise((resolve) => setTimeout(resolve, ms)).then(run));
        for (let i = 0; i < longs; i++) {
          at(i * period, async () => result.long.push(await stream(router, words, 8)));
          for (let s = 0; s < 6; s++) {
            // Not in step with the long ones, and the same in each block.
            const when = (i + (s + ((i * 7 + s * 3) % 5) / 5) / 6) * period;
            at(when, async () => result.short.push(await stream(router, 8, 8)));
          }
        }
        await Promise.all(all);
        const shorts = result.short.slice(-6 * longs);
        say(`${side}: short ${Math.round(Math.max(...shorts))} ms at most`);
      }
    }
    return {
      tier: engines[0].info.tier,
      adapter: engines[0].info.adapter.description,
      identical,
      migrated,
      period,
      firsts,
    };
  }, JSON.parse(options));
  console.log(JSON.stringify(answer));
} finally {
  await browser.close();
  await server.close();
}
