// Loads a model and has it answer in a tab that is seen, and behind another one, in turns; then freezes the tab for a while.
//
//   node scripts/figures/hidden_tab_in_chromium.mjs SITE '{"tokens": 64, "rounds": 3, "frozen": 3}'
//
// SITE holds index.html, webbuild/ (the built package) and pack/, whose model ends no answer. The last line of standard output
// is one JSON object.

import { setTimeout } from "node:timers/promises";
import { chosenAdapter } from "../browser.mjs";
import { launchPlain } from "../plain_browser.mjs";
import { serve } from "../serve.mjs";

const [site = "", options = "{}"] = process.argv.slice(2);
const { tokens, rounds, frozen } = JSON.parse(options);

/** What runs in the page, as its global `figure`. */
const inPage = async (/** @type {number} */ tokens) => {
  const { Engine } = await import(new URL("webbuild/index.js", location.href).href);
  const load = (/** @type {boolean} */ worker) =>
    Engine.load("pack/", { contextLength: 2048, ...(worker ? {} : { worker: false }) });
  const engines = { worker: await load(true), page: await load(false) };
  const request = { messages: [{ role: "user", content: "Tell me a story." }], temperature: 0 };
  /** Median milliseconds between timers of 10 ms, here or in a worker. */
  const timers = async (/** @type {boolean} */ worker) => {
    const measure = async () => {
      /** @type {number[]} */
      const gaps = [];
      for (let i = 0; i < 5; i++) {
        const begin = performance.now();
        await new Promise((done) => globalThis.setTimeout(done, 10));
        gaps.push(performance.now() - begin);
      }
      return gaps.sort((a, b) => a - b)[2];
    };
    if (!worker) return measure();
    const code = `(${measure})().then(postMessage)`;
    const thread = new Worker(URL.createObjectURL(new Blob([code])));
    const told = new Promise((resolve) => {
      thread.onmessage = ({ data }) => resolve(data);
    });
    return told.finally(() => thread.terminate());
  };
  Object.assign(globalThis, {
    figure: {
      /** Milliseconds per token of an answer whose prompt is cached, and the text. */
      async answer(/** @type {"worker" | "page"} */ where, max_tokens = tokens) {
        const begin = performance.now();
        let text = "";
        const stream = await engines[where].chat.completions.create({
          ...request,
          max_tokens,
          stream: true,
        });
        for await (const { choices } of stream) text += choices[0]?.delta.content ?? "";
        return { ms: (performance.now() - begin) / max_tokens, text };
      },
      async load(/** @type {"worker" | "page"} */ where) {
        const begin = performance.now();
        const engine = await load(where === "worker");
        const took = performance.now() - begin;
        await engine.unload();
        return took;
      },
      timers: async () => ({ page: await timers(false), worker: await timers(true) }),
      state: () => document.visibilityState,
    },
  });
};

const server = await serve(site);
const browser = await launchPlain(chosenAdapter());
try {
  const tab = await browser.open(server.url);
  const other = await browser.open(server.url);
  await tab.send("Page.enable");
  await tab.send("Page.bringToFront");
  await tab.evaluate(`(${inPage})(${tokens})`);
  /** @type {any[]} */
  const rows = [];
  for (const where of ["worker", "page"]) {
    for (const state of ["visible", "hidden"]) rows.push({ where, state, ms: [], load: [] });
  }
  /** @type {Record<string, any>} */
  const timers = {};
  const texts = new Set();
  for (const where of ["worker", "page"]) await tab.evaluate(`figure.answer("${where}")`);
  for (let round = 0; round < rounds; round++) {
    for (const state of ["visible", "hidden"]) {
      await (state === "visible" ? tab : other).send("Page.bringToFront");
      while ((await tab.evaluate("figure.state()")) !== state) await setTimeout(20);
      timers[state] = await tab.evaluate("figure.timers()");
      for (const row of rows.filter((row) => row.state === state)) {
        const { ms, text } = await tab.evaluate(`figure.answer("${row.where}")`);
        row.ms.push(ms);
        texts.add(text);
        row.load.push(await tab.evaluate(`figure.load("${row.where}")`));
      }
    }
  }
  // Frozen in the middle of an answer; the tab is hidden now.
  const long = 6 * tokens;
  const { text } = await tab.evaluate(`figure.answer("worker", ${long})`);
  const going = tab.evaluate(`figure.answer("worker", ${long})`);
  const [first] = rows;
  await setTimeout(Math.min(...first.ms) * tokens);
  await tab.send("Page.setWebLifecycleState", { state: "frozen" });
  const early = await Promise.race([going.then(() => true), setTimeout(1000 * frozen, false)]);
  await tab.send("Page.setWebLifecycleState", { state: "active" });
  const thawed = await Promise.race([going, setTimeout(60_000, { text: null })]);
  const freeze = { ended_while_frozen: early, same_answer: thawed.text === text };
  console.log(JSON.stringify({ rows, timers, same_answers: texts.size === 1, freeze }));
} finally {
  await browser.close();
  await server.close();
}
