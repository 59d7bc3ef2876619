// Runs in Deno: opens an engine on Deno's own WebGPU and answers lists of requests, each a line of JSON.
//
//   deno run --allow-all --unstable-webgpu deno_host.ts URL-OF-THE-PACKAGE/ URL-OF-A-PACK/

import process from "node:process";
import { createInterface } from "node:readline";
import type { Asked, Outcome } from "./answer.js";

const [runtime, pack] = process.argv.slice(2);
const load = (url: string) => import(url); // Deno wants the ending .ts, which tsc does not take
const { answer } = await load(new URL("answer.ts", import.meta.url).href);
const { Engine } = await load(`${runtime}index.js`);
const { createFetch } = await load(`${runtime}http.js`);

const engine = await Engine.load(pack, { worker: false });
Object.assign(globalThis, { engine, v1: createFetch(engine, { anyModel: true }) });
const say = (line: unknown) => process.stdout.write(`${JSON.stringify(line)}\n`);
say({ ready: engine.info.adapter });
for await (const line of createInterface({ input: process.stdin })) {
  const outcomes: Outcome[] = [];
  for (const request of JSON.parse(line) as Asked[]) outcomes.push(await answer(request));
  say({ outcomes });
}
await engine.unload();
