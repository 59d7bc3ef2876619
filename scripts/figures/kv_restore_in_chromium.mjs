// A long prompt in Chromium: computed, and restored from the browser's storage, in turns, each after a reload of the page.
//
//   node scripts/figures/kv_restore_in_chromium.mjs SITE '{"tokens": 1500, "context": 2048, "rounds": 3}'
//
// SITE holds index.html, webbuild/ (the built package) and pack/. The last line of standard output is one JSON object:
// milliseconds of each round.

import { chosenAdapter, launch, talkingPage } from "../browser.mjs";
import { serve } from "../serve.mjs";

const [site = "", options = "{}"] = process.argv.slice(2);
const { tokens, context, rounds } = JSON.parse(options);

/** One visit, in the page. */
async function visit(
  /** @type {{ way: "save" | "compute" | "restore", tokens: number, context: number }} */ {
    way,
    tokens,
    context,
  },
) {
  const { Engine } = await import(new URL("webbuild/index.js", location.href).href);
  const engine = await Engine.load("pack/", { contextLength: context });
  const messagesOf = (/** @type {number} */ words) => {
    const content = Array.from({ length: words }, (_, i) => (i * 131) % 997).join(" ");
    return [{ role: "user", content }];
  };
  // The most words that are not more tokens than wanted.
  let words = 0;
  for (let step = tokens; step >= 1; step = Math.floor(step / 2)) {
    while ((await engine.countTokens(messagesOf(words + step))) <= tokens) words += step;
  }
  const messages = messagesOf(words);
  const saved = way === "save" ? await engine.kv.save("figure", messages) : null;
  const begin = performance.now();
  const restored = way === "restore" ? await engine.kv.restore("figure") : null;
  const ready = performance.now();
  const stream = await engine.chat.completions.create({
    messages,
    temperature: 0,
    max_tokens: 4,
    logprobs: true,
    stream: true,
    stream_options: { include_usage: true },
  });
  let first = 0;
  let text = "";
  let usage;
  for await (const chunk of stream) {
    const [choice] = chunk.choices;
    if (choice?.logprobs?.content?.length) first ||= performance.now();
    text += choice?.delta.content ?? "";
    usage = chunk.usage ?? usage;
  }
  const { tier, adapter } = engine.info;
  await engine.unload();
  return {
    way,
    restore: ready - begin,
    first: first - begin,
    text,
    prompt_tokens: usage.prompt_tokens,
    cached_tokens: usage.prompt_tokens_details.cached_tokens,
    restored_tokens: restored?.tokens ?? 0,
    saved_bytes: saved?.bytes ?? 0,
    tier,
    adapter: adapter.description || adapter.vendor,
  };
}

const server = await serve(site);
const browser = await launch(chosenAdapter());
try {
  const page = await talkingPage(browser);
  const visits = [];
  const ways = ["save", ...Array.from({ length: rounds }, () => ["compute", "restore"]).flat()];
  for (const way of ways) {
    await page.goto(server.url);
    visits.push(
      await page.evaluate(visit, {
        way: /** @type {"save" | "compute" | "restore"} */ (way),
        tokens,
        context,
      }),
    );
    const { restore, first } = /** @type {any} */ (visits.at(-1));
    console.error(
      `${way}: restored in ${restore.toFixed(0)} ms, first token ${first.toFixed(0)} ms`,
    );
  }
  console.log(JSON.stringify(visits));
} finally {
  await browser.close();
  await server.close();
}
