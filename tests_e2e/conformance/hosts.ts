// Where the requests run: each host opens an engine with the demo pack and answers lists of them, one after another.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { BrowserContext, Page } from "@playwright/test";
import { buildExtension } from "../../examples/extension/build.mjs";
import { type Adapter, launch, launchOptions } from "../../scripts/browser.mjs";
import { type Asked, answer, type Outcome } from "./answer.js";

export interface Host {
  ask(requests: Asked[]): Promise<Outcome[]>;
  close(): Promise<void>;
}

export interface Where {
  adapter: Adapter;
  browser: BrowserContext;
  /** Of the served site, with a trailing slash. */
  site: string;
}

/** What a page does to load, as text, with `webbuild` and `pack` in scope. */
const LOADS = {
  "main thread": "webbuild.Engine.load(pack, { worker: false })",
  worker: "webbuild.Engine.load(pack)",
  "shared worker": 'webbuild.Engine.load(pack, { worker: "shared" })',
  "service worker": `navigator.serviceWorker.register("service_worker.js", { type: "module" })
    .then(() => navigator.serviceWorker.ready)
    .then(({ active }) => webbuild.Engine.load(pack, { worker: active }))`,
  extension: `import("./webbuild/extension.js")
    .then(({ connectExtension }) => webbuild.Engine.load(pack, { worker: connectExtension() }))`,
};

export const HOSTS = [
  ...(Object.keys(LOADS) as (keyof typeof LOADS)[]),
  "Node on Dawn",
  "Deno",
] as const;
export type HostName = (typeof HOSTS)[number];

/** Opens an engine there. */
export async function openHost(name: HostName, where: Where): Promise<Host> {
  if (name === "Node on Dawn") return openNode();
  if (name === "Deno") return openDeno();
  if (name === "extension") return openExtension(where.adapter);
  const page = await where.browser.newPage();
  await page.goto(`${where.site}test.html`);
  return openPage(page, name, () => page.close());
}

async function openPage(
  page: Page,
  name: keyof typeof LOADS,
  close: () => Promise<void>,
): Promise<Host> {
  await page.evaluate(
    `(async (pack) => {
      const webbuild = await import("./webbuild/index.js");
      globalThis.engine = await ${LOADS[name]};
      globalThis.v1 = (await import("./webbuild/http.js")).createFetch(engine, { anyModel: true });
    })("packs/demo/")`,
  );
  const ask = `async (requests) => {
    const outcomes = [];
    for (const request of requests) outcomes.push(await (${answer})(request));
    return outcomes;
  }`;
  return {
    ask: (requests) => page.evaluate(`(${ask})(${JSON.stringify(requests)})`),
    close,
  };
}

async function openExtension(adapter: Adapter): Promise<Host> {
  const folder = mkdtempSync(join(tmpdir(), "webbuild-extension-"));
  buildExtension(folder);
  const { args = [] } = launchOptions(adapter);
  const context = await launch(adapter, {
    args: [...args, `--disable-extensions-except=${folder}`, `--load-extension=${folder}`],
  });
  const worker = context.serviceWorkers()[0] ?? (await context.waitForEvent("serviceworker"));
  const page = await context.newPage();
  await page.goto(new URL("/chat.html", worker.url()).href);
  return openPage(page, "extension", async () => {
    await context.close();
    rmSync(folder, { recursive: true });
  });
}

const root = new URL("../../", import.meta.url);
const RUNTIME = new URL("runtime_js/dist/", root).href;
const PACK = new URL("demo_site/public/packs/demo/", root);

/** Deno has a WebGPU of its own. */
async function openDeno(): Promise<Host> {
  const script = fileURLToPath(new URL("tests_e2e/conformance/deno_host.ts", root));
  const deno = spawn("deno", ["run", "-A", "--unstable-webgpu", script, RUNTIME, PACK.href], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface({ input: deno.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error("Deno has ended");
    return JSON.parse(value);
  };
  await next();
  return {
    async ask(requests) {
      deno.stdin.write(`${JSON.stringify(requests)}\n`);
      return (await next()).outcomes;
    },
    async close() {
      deno.stdin.end();
      await once(deno, "exit");
    },
  };
}

async function openNode(): Promise<Host> {
  const load = (file: string) => import(new URL(file, RUNTIME).href);
  const { Engine } = await load("index.js");
  const { createFetch } = await load("http.js");
  const webgpu = "webgpu";
  const { create } = await import(webgpu);
  const gpu = create([]);
  const engine = await Engine.load(PACK, { worker: false, gpu });
  Object.assign(globalThis, {
    engine,
    v1: createFetch(engine, { anyModel: true }),
    gpuOfNode: gpu,
  });
  return {
    async ask(requests) {
      const outcomes: Outcome[] = [];
      for (const request of requests) outcomes.push(await answer(request));
      return outcomes;
    },
    close: () => engine.unload(),
  };
}
