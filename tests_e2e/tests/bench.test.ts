// `webbuild bench` as its users run it: the command starts a browser of its own.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test as base, expect } from "@playwright/test";
import type { Adapter } from "../../scripts/browser.mjs";
import { siteFolder } from "../harness/site.js";

interface Fixtures {
  /** Where the command keeps its browser's profile, and the tests their files. */
  folder: string;
}

const test = base.extend<Fixtures, { adapter: Adapter }>({
  adapter: ["default", { option: true, scope: "worker" }],
  // biome-ignore lint/correctness/noEmptyPattern: Playwright reads the fixtures from this pattern
  folder: async ({}, use) => {
    const folder = mkdtempSync(join(tmpdir(), "bench-"));
    await use(folder);
    rmSync(folder, { recursive: true });
  },
});

// Software adapters compile every kernel of the pack, in a browser that is new to them.
test.setTimeout(600_000);

function bench(folder: string, adapter: Adapter, ...options: string[]) {
  const pack = join(siteFolder, "packs/demo");
  const runtime = join(siteFolder, "webbuild");
  return spawn("webbuild", ["bench", pack, "--runtime", runtime, ...options], {
    env: { ...process.env, WEBBUILD_ADAPTER: adapter, TMPDIR: folder },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

/** Command lines of processes that know of `folder`. */
function processes(folder: string): string[] {
  const { stdout } = spawnSync("ps", ["-A", "-ww", "-o", "args="], { encoding: "utf8" });
  return stdout.split("\n").filter((line) => line.includes(folder) && !line.startsWith("ps "));
}

test("measures the demo pack: counts are the program's, times are positive", async ({
  adapter,
  folder,
}) => {
  const json = join(folder, "bench.json");
  const trace = join(folder, "trace.json");
  const command = bench(
    folder,
    adapter,
    ...["--prompt", "20", "--context", "300", "--tokens", "6", "--rounds", "2"],
    ...["--json", json, "--trace", trace],
  );
  let said = "";
  for (const stream of [command.stdout, command.stderr]) {
    stream.setEncoding("utf8").on("data", (text) => {
      said += text;
    });
  }
  const [code] = await once(command, "close");
  expect(code, said).toBe(0);
  expect(said).toContain("Tokens per second");

  const report = JSON.parse(readFileSync(json, "utf8"));
  const { a } = report.subjects;
  expect(report.method).toBe("engine");
  expect(report.order).toEqual(["a", "a"]);
  expect(Math.min(a.bandwidth.copy_bytes_per_s, a.bandwidth.read_bytes_per_s)).toBeGreaterThan(0);
  expect(a.cases.map((c: { context: number }) => c.context)).toEqual([20, 300]);
  for (const measured of a.cases) {
    expect(measured.per_token).toEqual({
      launches: a.launches.decode + a.launches.sample,
      submits: 1,
      write_buffers: 1,
      created_buffers: 0,
      created_bind_groups: 0,
    });
    expect(measured.rounds).toHaveLength(2);
    for (const { prefill_ms, decode_ms, completion_tokens } of measured.rounds) {
      expect(Math.min(prefill_ms, decode_ms)).toBeGreaterThan(0);
      expect(completion_tokens).toBe(6);
    }
    expect(measured.js_ms_per_token).toBeGreaterThan(0);
    expect(measured.bytes_read_per_token).toBeGreaterThanOrEqual(measured.bytes_needed_per_token);
  }
  expect(a.cases[0].prefill_tokens_per_s).toBeGreaterThan(0);
  expect(a.cases[1].prefill_tokens_per_s).toBeNull();

  const [cold, cached] = a.loads;
  expect([cold.start, cached.start]).toEqual(["cold", "cached"]);
  expect(cold.parts.network_bytes).toBeGreaterThan(1e6);
  expect(cached.parts.network_bytes).toBe(0);
  expect(cached.parts.cache_bytes).toBeGreaterThan(1e6);
  for (const part of ["fetch", "hash", "upload", "compile", "warmup"]) {
    expect(cold.parts[`${part}_ms`], part).toBeGreaterThan(0);
  }

  if (a.timestamps) {
    const { launches, attributed } = a.profile;
    expect(launches).toHaveLength(a.launches.decode + a.launches.sample);
    // The rest is time between the passes of launches: 0.5 to 1.1 % on lavapipe.
    expect(attributed).toBeGreaterThanOrEqual(0.95);
    expect(attributed).toBeLessThanOrEqual(1);
  }
  const { traceEvents } = JSON.parse(readFileSync(trace, "utf8"));
  expect(traceEvents.filter((e: { cat?: string }) => e.cat === "tokens")).toHaveLength(12);
  expect(processes(folder)).toEqual([]);
});

test("Ctrl-C leaves no browser and no profile behind", async ({ adapter, folder }) => {
  const command = bench(folder, adapter, "--prompt", "8", "--tokens", "2");
  let said = "";
  const started = new Promise<void>((resolve, reject) => {
    command.once("close", () => reject(new Error(said)));
    command.stderr.setEncoding("utf8").on("data", (text) => {
      said += text;
      if (said.includes("load of")) resolve();
    });
  });
  await started;
  expect(processes(folder).length).toBeGreaterThan(0);
  command.kill("SIGINT");
  const [code] = await once(command, "close");
  expect(said).toContain("error[Interrupted]");
  expect(code).toBe(130);
  expect(processes(folder)).toEqual([]);
  expect(readdirSync(folder)).toEqual([]);
});
