// Requests one after another and all at once, in turns, in one engine in Chromium; then a long prompt beside somebody who
// streams, and a conversation's second turn.
//
//   node scripts/figures/serving_in_chromium.mjs SITE '{"requests": 8, "words": 6, "tokens": 64, "rounds": 3, "long": 300}'
//
// SITE holds index.html, webbuild/ (the built package) and pack/. The last line of standard output is one JSON object:
// tokens per second of each round, what the engine says of the rounds at once, and milliseconds.

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
  const answer = await page.evaluate(async ({ requests, words, tokens, rounds, long }) => {
    const { Engine } = await import(new URL("webbuild/index.js", location.href).href);
    const contextLength = 2048;
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
      const spent = await processorMs();
      const begin = performance.now();
      const answers = await run();
      const seconds = (performance.now() - begin) / 1000;
      const count = answers.reduce((sum, { usage }) => sum + usage.completion_tokens, 0);
      return { rate: count / seconds, cost: ((await processorMs()) - spent) / count, answers };
    };
    // The first answers compile what they need, and are compared: the same prompts both ways.
    const alone = texts((await timed(oneByOne)).answers);
    asked--;
    const first = await timed(atOnce);
    const together = texts(first.answers);
    const before = await engine.stats();
    const rates = { alone: [], together: [] };
    const costs = { alone: [], together: [] };
    let rows = 0;
    let steps = 0;
    for (let round = 0; round < rounds; round++) {
      const sequential = await timed(oneByOne);
      rates.alone.push(sequential.rate);
      costs.alone.push(sequential.cost);
      const from = await engine.stats();
      const concurrent = await timed(atOnce);
      rates.together.push(concurrent.rate);
      costs.together.push(concurrent.cost);
      const to = await engine.stats();
      rows += to.meanBatch * to.steps - from.meanBatch * from.steps;
      steps += to.steps - from.steps;
    }
    const { stepMs } = await engine.stats();

    /** A prompt of `long` words that begins unlike any other. */
    const longPrompt = () => {
      asked++;
      const content = Array.from({ length: long }, (_, w) => (asked * 131 + w) % 997).join(" ");
      return [{ role: "user", content }];
    };
    const stream = (/** @type {any} */ messages, /** @type {number} */ max_tokens) => {
      const stream_options = { include_usage: true };
      const request = { messages, max_tokens, temperature: 0, stream: true, stream_options };
      return engine.chat.completions.create(request);
    };
    /** Milliseconds until the first text, the text, and the usage. */
    const read = async (/** @type {any} */ messages, /** @type {number} */ max_tokens) => {
      const begin = performance.now();
      let first = 0;
      let text = "";
      let usage;
      for await (const chunk of await stream(messages, max_tokens)) {
        const content = chunk.choices[0]?.delta.content;
        // A token that completes no character is no text; the end comes in any case.
        if (content || chunk.choices[0]?.finish_reason) first ||= performance.now() - begin;
        text += content ?? "";
        usage = chunk.usage ?? usage;
      }
      return { first, text, usage };
    };
    const question = longPrompt();
    const { first: recomputed, text } = await read(question, 32);
    const more = [
      { role: "assistant", content: text },
      { role: "user", content: "And then?" },
    ];
    const second = await read([...question, ...more], 2);
    const { prompt_tokens, prompt_tokens_details } = second.usage;
    const turn = {
      prompt_tokens,
      cached_tokens: prompt_tokens_details.cached_tokens,
      first_ms: second.first,
      recomputed_ms: recomputed,
    };

    /** Gaps between the texts that somebody reads, before a long prompt comes and until its first token. */
    const besideLong = async () => {
      /** @type {number[]} */
      const times = [];
      const own = [{ role: "user", content: "Tell me a story." }];
      /** @type {Promise<any> | undefined} */
      let beside;
      let from = 0;
      let until = Number.POSITIVE_INFINITY;
      for await (const { choices } of await stream(own, 1500)) {
        if (choices[0]?.delta.content) times.push(performance.now());
        if (times.length === 30) {
          from ||= performance.now();
          beside ??= read(longPrompt(), 1).then((answer) => {
            until = from + answer.first;
            return answer;
          });
        }
        if (performance.now() > until) break;
      }
      const gaps = times.slice(1).map((time, i) => ({ end: time, ms: time - times[i] }));
      const summary = (/** @type {boolean} */ during) => {
        const ms = gaps
          .filter(({ end }) => (during ? end > from && end < until : end <= from))
          .map(({ ms }) => ms)
          .sort((a, b) => a - b);
        return { median: ms[ms.length >> 1], p95: ms[Math.floor(0.95 * (ms.length - 1))] };
      };
      const first_ms = (await beside).first;
      return {
        alone: summary(false),
        beside_prompt: summary(true),
        first_ms,
        first_alone_ms: recomputed,
      };
    };
    await besideLong(); // compiles what such steps take
    const rhythm = await besideLong();
    return {
      ...rates,
      costs,
      turn,
      rhythm,
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
