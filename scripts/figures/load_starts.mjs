// Loads a pack in Chromium, from the network and from the browser's storage, in turns with a worker that reads the same
// bytes from that storage and uploads them, and does nothing else.
//
//   node scripts/figures/load_starts.mjs SITE COLD CACHED CONTEXT     COLD and CACHED: rounds of each
//
// SITE holds index.html, webbuild/ (the built package) and pack/. The last line of standard output is one JSON object
// with lists of milliseconds.

import { chosenAdapter, launch } from "../browser.mjs";
import { serve } from "../serve.mjs";

const [site = "", cold = "3", cached = "7", contextLength = "512"] = process.argv.slice(2);

/** Reads files of the origin's private file system in 8 MiB pieces, three at a time, into buffers of at most 256 MiB. */
const BARE = `
  const PIECE = 8 * 2 ** 20;
  const began = performance.now();
  onmessage = async () => {
    const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
    const device = await adapter.requestDevice();
    const ready = performance.now();
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle("webbuild");
    const files = [];
    for await (const [name, handle] of folder.entries()) {
      if (!/^[0-9a-f]{64}$/.test(name)) continue;
      const file = await handle.getFile();
      files.push({ file, bytes: Math.ceil(file.size / 4) * 4 });
    }
    let bytes = 0;
    const next = files[Symbol.iterator]();
    const lane = async () => {
      for (const { file, bytes: size } of next) {
        const buffer = device.createBuffer({ size, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST });
        for (let at = 0; at < size; at += PIECE) {
          let piece = new Uint8Array(await file.slice(at, at + PIECE).arrayBuffer());
          bytes += piece.length;
          if (piece.length % 4) piece = Uint8Array.from({ length: Math.ceil(piece.length / 4) * 4 }, (_, i) => piece[i] ?? 0);
          device.queue.writeBuffer(buffer, at, piece);
        }
      }
    };
    await Promise.all([lane(), lane(), lane()]);
    device.queue.submit([]);
    await device.queue.onSubmittedWorkDone();
    const done = performance.now();
    postMessage({ device: ready - began, copy: done - ready, bytes });
    device.destroy();
  };`;

const server = await serve(site);
const browser = await launch(chosenAdapter());

/** Runs a function in a new page. @template A, R @param {(args: A) => Promise<R>} work @param {A} args */
async function inPage(work, args) {
  const page = await browser.newPage();
  page.setDefaultTimeout(0);
  page.on("pageerror", (error) => console.error(error.message));
  await page.goto(server.url);
  try {
    return await page.evaluate(work, args);
  } finally {
    await page.close();
  }
}

/** From the call to the first token, by the package's public API. */
const engine = (/** @type {{ contextLength: number, empty: boolean }} */ args) =>
  inPage(async ({ contextLength, empty }) => {
    const root = await navigator.storage.getDirectory();
    if (empty) await root.removeEntry("webbuild", { recursive: true }).catch(() => {});
    const { Engine } = await import(new URL("webbuild/index.js", location.href).href);
    const began = performance.now();
    const engine = await Engine.load("pack/", { contextLength });
    const ready = performance.now();
    const stream = await engine.chat.completions.create({
      messages: [{ role: "user", content: "Hi" }],
      max_tokens: 2,
      temperature: 0,
      stream: true,
      logit_bias: {},
    });
    let first = 0;
    // The first chunk names the role; tokens of random weights may make no text until the end.
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta.content || chunk.choices[0]?.finish_reason) {
        first ||= performance.now();
      }
    }
    const { networkBytes, cacheBytes } = await engine.stats();
    await engine.unload();
    return { ready: ready - began, first_token: first - began, networkBytes, cacheBytes };
  }, args);

/** The parts of a load, by the package's benchmark. */
const parts = (/** @type {{ contextLength: number, empty: boolean }} */ args) =>
  inPage(async ({ contextLength, empty }) => {
    const root = await navigator.storage.getDirectory();
    if (empty) await root.removeEntry("webbuild", { recursive: true }).catch(() => {});
    const { Bench } = await import(new URL("webbuild/bench.js", location.href).href);
    const bench = await Bench.open();
    const url = new URL("pack/", location.href).href;
    const { parts } = await bench.load({ url, contextLength }, () => {});
    const { prefill } = await bench.generate({ start: 0, prompt: 16, tokens: 2 });
    await bench.close();
    return { ...parts, first: prefill };
  }, args);

const bare = () =>
  inPage(async (code) => {
    const began = performance.now();
    const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
    const worker = new Worker(url);
    const told = new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = ({ message }) => reject(new Error(message));
    });
    worker.postMessage(null);
    const parts = await told;
    const total = performance.now() - began;
    worker.terminate();
    return { ...parts, total };
  }, BARE);

/** @type {Record<string, unknown[]>} */
const rounds = { cold: [], cold_parts: [], cached: [], cached_parts: [], bare: [] };
const context = Number(contextLength);
try {
  await engine({ contextLength: context, empty: true }); // the driver's shader cache is filled
  for (let i = 0; i < Number(cold); i++) {
    rounds.cold?.push(await engine({ contextLength: context, empty: true }));
    rounds.cold_parts?.push(await parts({ contextLength: context, empty: true }));
  }
  for (let i = 0; i < Number(cached); i++) {
    rounds.bare?.push(await bare());
    rounds.cached?.push(await engine({ contextLength: context, empty: false }));
    rounds.cached_parts?.push(await parts({ contextLength: context, empty: false }));
  }
  console.log(JSON.stringify(rounds));
} finally {
  await browser.close();
  await server.close();
}
