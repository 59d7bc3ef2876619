// How smoothly a page moves while a long prompt is computed and answered, with and without a share of the GPU for the page.
//
//   node scripts/figures/yield_in_chromium.mjs SITE '{"words": 300, "tokens": 64, "rounds": 3, "ms": [0, 8]}'
//
// SITE holds index.html, webbuild/ (the built package) and pack/, whose model ends no answer. The page draws with WebGL in every
// frame and moves a box by CSS. The last line of standard output is one JSON object: for each share, and for a page
// without work (null), the milliseconds between frames; tokens per second of prompts and answers.

import { chosenAdapter, launch, talkingPage } from "../browser.mjs";
import { serve } from "../serve.mjs";

const [site = "", options = "{}"] = process.argv.slice(2);

const server = await serve(site);
const browser = await launch(chosenAdapter());
try {
  const page = await talkingPage(browser);
  await page.goto(server.url);
  const answer = await page.evaluate(async ({ words, tokens, rounds, ms }) => {
    const { Engine } = await import(new URL("webbuild/index.js", location.href).href);
    const engine = await Engine.load("pack/", { contextLength: 2048 });

    document.body.innerHTML =
      "<style>@keyframes go { to { transform: translateX(300px) } } div { width: 80px; height: 80px;" +
      "background: teal; animation: go 1s infinite alternate }</style><div></div><canvas width=300 height=150></canvas>";
    const gl = /** @type {WebGLRenderingContext} */ (
      document.querySelector("canvas")?.getContext("webgl")
    );
    /** @type {number[]} */
    let frames = [];
    const draw = (/** @type {number} */ time) => {
      frames.push(time);
      gl.clearColor((time / 1000) % 1, 0.5, 0.5, 1);
      gl.clear(gl.COLOR_BUFFER_BIT);
      requestAnimationFrame(draw);
    };
    requestAnimationFrame(draw);

    /** Milliseconds between the frames that are drawn while `work` lasts. */
    const watch = async (/** @type {() => Promise<any>} */ work) => {
      frames = [];
      const result = await work();
      const gaps = frames.slice(1).map((time, i) => time - /** @type {number} */ (frames[i]));
      return { gaps, result };
    };
    let asked = 0;
    /** Asks for so many tokens. @returns milliseconds per token of what was computed of the prompt, and of the answer */
    const timed = async (/** @type {any} */ messages, /** @type {number} */ max_tokens) => {
      const begin = performance.now();
      const request = { messages, max_tokens, temperature: 0 };
      const { usage } = await engine.chat.completions.create(request);
      const took = performance.now() - begin;
      const { prompt_tokens, prompt_tokens_details, completion_tokens } = usage;
      return {
        prompt: took / (prompt_tokens - prompt_tokens_details.cached_tokens),
        answer: took / completion_tokens,
      };
    };
    /** A prompt that begins unlike any other; then, as it is cached, its answer. */
    const ask = async () => {
      asked++;
      const content = Array.from({ length: words }, (_, w) => (asked * 131 + w) % 997).join(" ");
      const messages = [{ role: "user", content }];
      const { prompt } = await timed(messages, 1);
      return { prompt, decode: (await timed(messages, tokens)).answer };
    };
    /** @type {any[]} */
    const rows = [null, ...ms].map((ms) => ({ ms, gaps: [], prompt: [], decode: [] }));
    await ask(); // compiles what is needed
    for (let round = 0; round < rounds; round++) {
      for (const row of rows) {
        await engine.setYield(row.ms ?? 0);
        const work = row.ms === null ? () => new Promise((done) => setTimeout(done, 2000)) : ask;
        const { gaps, result } = await watch(work);
        row.gaps.push(...gaps);
        if (!result) continue;
        row.prompt.push(1000 / result.prompt);
        row.decode.push(1000 / result.decode);
      }
    }
    const { tier, adapter } = engine.info;
    return { rows, tier, adapter: adapter.description || adapter.vendor };
  }, JSON.parse(options));
  console.log(JSON.stringify(answer));
} finally {
  await browser.close();
  await server.close();
}
