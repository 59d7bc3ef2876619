// Requests one after another and all at once, in turns, in one engine in Chromium.
//
//   node scripts/figures/serving_in_chromium.mjs SITE '{"requests": 8, "words": 12, "tokens": 48, "rounds": 3}'
//
// SITE holds index.html, webbuild/ (the built package) and pack/. The last line of standard output is one JSON object:
// tokens per second of each round, and what the engine says of the rounds at once.

import { chosenAdapter, launch } from "../browser.mjs";
import { serve } from "../serve.mjs";

const [site = "", options = "{}"] = process.argv.slice(2);

const server = await serve(site);
const browser = await launch(chosenAdapter());
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(0);
  page.on("console", (message) => message.type() === "error" && console.error(message.text()));
  page.on("pageerror", (error) => console.error(error.message));
  await page.goto(server.url);
  const answer = await page.evaluate(async ({ requests, words, tokens, rounds }) => {
    const { Engine } = await import(new URL("webbuild/index.js", location.href).href);
    const contextLength = 512;
    const engine = await Engine.load("pack/", { contextLength });
    // Other first words each time: nothing of a prompt but its template is cached.
    let asked = 0;
    const ask = (/** @type {number} */ i) => {
      const content = Array.from({ length: words }, (_, w) => (asked * 131 + i * 17 + w) % 997);
      const messages = [{ role: "user", content: content.join(" ") }];
      return engine.chat.completions.create({ messages, max_tokens: tokens, temperature: 0 });
    };
    const texts = (/** @type {any[]} */ answers) =>
      answers.map(({ choices }) => choices[0].message.content);
    const oneByOne = async () => {
      const answers = [];
      for (let i = 0; i < requests; i++) answers.push(await ask(i));
      return answers;
    };
    const atOnce = () => Promise.all(Array.from({ length: requests }, (_, i) => ask(i)));
    const timed = async (/** @type {() => Promise<any[]>} */ run) => {
      asked++;
      const begin = performance.now();
      const answers = await run();
      const seconds = (performance.now() - begin) / 1000;
      const count = answers.reduce((sum, { usage }) => sum + usage.completion_tokens, 0);
      return { rate: count / seconds, answers };
    };
    // The first answers compile what they need, and are compared: the same prompts both ways.
    const alone = texts((await timed(oneByOne)).answers);
    asked--;
    const first = await timed(atOnce);
    const together = texts(first.answers);
    const before = await engine.stats();
    const rates = { alone: [], together: [] };
    let rows = 0;
    let steps = 0;
    for (let round = 0; round < rounds; round++) {
      rates.alone.push((await timed(oneByOne)).rate);
      const from = await engine.stats();
      rates.together.push((await timed(atOnce)).rate);
      const to = await engine.stats();
      rows += to.meanBatch * to.steps - from.meanBatch * from.steps;
      steps += to.steps - from.steps;
    }
    const { stepMs } = await engine.stats();
    return {
      ...rates,
      tier: engine.info.tier,
      adapter: engine.info.adapter.description || engine.info.adapter.vendor,
      prompt_tokens: first.answers[0].usage.prompt_tokens,
      same_answers: alone.every((text, i) => text === together[i]),
      mean_batch: rows / steps,
      step_ms: stepMs,
      steps: before.steps,
    };
  }, JSON.parse(options));
  console.log(JSON.stringify(answer));
} finally {
  await browser.close();
  await server.close();
}
