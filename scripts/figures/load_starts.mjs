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

/**
 * Reads the origin's files in 8 MiB pieces into buffers of at most 256 MiB: `slices` of files, three at a time, or through
 * `handles`, one after another; the quicker way depends on the machine.
 */
const BARE = `
  const PIECE = 8 * 2 ** 20;
  const began = performance.now();
  async function slices(handles, upload) {
    const next = handles[Symbol.iterator]();
    const lane = async () => {
      for (const handle of next) {
        const file = await handle.getFile();
        const put = upload(file.size);
        for (let at = 0; at < file.size; at += PIECE) {
          put(at, new Uint8Array(await file.slice(at, at + PIECE).arrayBuffer()));
        }
      }
    };
    await Promise.all([lane(), lane(), lane()]);
  }
  async function handles(files, upload) {
    const staging = new Uint8Array(PIECE);
    for (const file of files) {
      const access = await file.createSyncAccessHandle({ mode: "read-only" });
      const size = access.getSize();
      const put = upload(size);
      for (let at = 0; at < size; at += PIECE) put(at, staging.subarray(0, access.read(staging, { at })));
      access.close();
    }
  }
  // A rejection would reach nobody; thrown outside of promises it reaches the page.
  onmessage = ({ data: way }) => measure(way).catch((error) => setTimeout(() => { throw error; }));
  async function measure(way) {
    const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
    const device = await adapter.requestDevice();
    const ready = performance.now();
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle("webbuild");
    const files = [];
    for await (const [name, handle] of folder.entries()) if (/^[0-9a-f]{64}$/.test(name)) files.push(handle);
    let bytes = 0;
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST;
    await { slices, handles }[way](files, (size) => {
      const buffer = device.createBuffer({ size: Math.ceil(size / 4) * 4, usage });
      return (at, piece) => {
        bytes += piece.length;
        // writeBuffer takes whole words; the last bytes of an odd file stay behind.
        device.queue.writeBuffer(buffer, at, piece, 0, piece.length & ~3);
      };
    });
    device.queue.submit([]);
    await device.queue.onSubmittedWorkDone();
    const done = performance.now();
    postMessage({ way, device: ready - began, copy: done - ready, bytes });
    device.destroy();
  }`;

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
      max_tokens: 1,
      temperature: 0,
      stream: true,
    });
    let first = 0;
    // The first chunk names the role; the only token may make no text, but it ends the answer.
    for await (const chunk of stream) {
      if (chunk.choices[0]?.finish_reason) first = performance.now();
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

const bare = (/** @type {"slices" | "handles"} */ way) =>
  inPage(
    async ([code, way]) => {
      const began = performance.now();
      const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
      const worker = new Worker(url);
      const told = new Promise((resolve, reject) => {
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = ({ message }) => reject(new Error(message));
      });
      worker.postMessage(way);
      const parts = await told;
      const total = performance.now() - began;
      worker.terminate();
      return { ...parts, total };
    },
    [BARE, way],
  );

/** @type {Record<string, unknown[]>} */
const rounds = { cold: [], cold_parts: [], cached: [], cached_parts: [], bare: [] };
const context = Number(contextLength);
try {
  console.error("filling the driver's shader cache");
  await engine({ contextLength: context, empty: true });
  for (let i = 0; i < Number(cold); i++) {
    console.error(`from the network, round ${i + 1} of ${cold}`);
    rounds.cold?.push(await engine({ contextLength: context, empty: true }));
    rounds.cold_parts?.push(await parts({ contextLength: context, empty: true }));
  }
  for (let i = 0; i < Number(cached); i++) {
    console.error(`from the browser's storage, round ${i + 1} of ${cached}`);
    rounds.bare?.push(await bare("slices"), await bare("handles"));
    rounds.cached?.push(await engine({ contextLength: context, empty: false }));
    rounds.cached_parts?.push(await parts({ contextLength: context, empty: false }));
  }
  console.log(JSON.stringify(rounds));
} finally {
  await browser.close();
  await server.close();
}
