/** The built package in its hosts: plain Node, a bundler, a server that renders pages. */
import { execFile } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { tinyPack } from "./testing/tiny_pack.js";

const run = promisify(execFile);
const root = fileURLToPath(new URL("..", import.meta.url));
let folder: string;
let dist: string;
let report: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "bundle-"));
  dist = join(folder, "dist");
  ({ stdout: report } = await run(process.execPath, [join(root, "build.mjs"), dist]));
}, 120_000);

afterAll(() => rmSync(folder, { recursive: true }));

describe("the built package", () => {
  test("prints its sizes and keeps its budget", () => {
    expect(report).toMatch(/worker\.js/);
    const bytes = Number(/loads first: (\d+) bytes gzip/.exec(report)?.[1]);
    expect(bytes).toBeGreaterThan(10_000);
    expect(bytes).toBeLessThan(150_000);
  });

  test("loads in Node without a word, and touches no global of a browser", async () => {
    const code = `
      for (const name of ["navigator", "document", "location", "Worker", "caches", "fetch"])
        Object.defineProperty(globalThis, name, { get() { throw new Error("touched " + name) } });
      const m = await import(${JSON.stringify(join(dist, "index.js"))});
      const http = await import(${JSON.stringify(join(dist, "http.js"))});
      for (const name of ["extension", "web_llm", "prompt_api", "router"])
        await import(${JSON.stringify(dist)} + "/" + name + ".js");
      console.log(typeof m.Engine.load, typeof m.HashMismatch, typeof http.serveV1);`;
    const { stdout, stderr } = await run(process.execPath, ["--input-type=module", "-e", code]);
    expect([stdout, stderr]).toEqual(["function function function\n", ""]);
  });

  test("answers in Node on Dawn, from a folder", async () => {
    for (const [name, bytes] of tinyPack()) writeFileSync(join(folder, name), bytes);
    const code = `
      import { create } from "webgpu";
      import { Engine, InvalidRequestError } from ${JSON.stringify(join(dist, "index.js"))};
      const gpu = create([]);
      const engine = await Engine.load(${JSON.stringify(folder)}, { worker: false, gpu });
      const messages = [{ role: "user", content: "hi" }];
      const answer = await engine.chat.completions.create({ messages, max_tokens: 5 });
      const refused = await engine.chat.completions.create({ messages, logit_bias: { 999: 1 } }).catch((e) => e);
      console.log(answer.usage.completion_tokens, refused instanceof InvalidRequestError);
      await engine.unload();`;
    const { stdout } = await run(process.execPath, ["--input-type=module", "-e", code], {
      cwd: root,
    });
    expect(stdout).toBe("5 true\n");
  });

  test("says by name what a host has not: shared workers, an extension's API", async () => {
    const code = `
      import { Engine } from ${JSON.stringify(join(dist, "index.js"))};
      import { connectExtension, serveExtension } from ${JSON.stringify(join(dist, "extension.js"))};
      const refused = async (worker) => {
        const error = await Engine.load("/", { worker }).catch((e) => e);
        console.log(error.name, error instanceof Error, error.data.host ?? error.data.param);
      };
      await refused("shared");
      await refused(connectExtension());
      await refused("elsewhere");
      try { serveExtension() } catch (error) { console.log(error.name) }`;
    const { stdout } = await run(process.execPath, ["--input-type=module", "-e", code]);
    expect(stdout.split("\n")).toEqual([
      "HostUnsupported true shared",
      "HostUnsupported true extension",
      "InvalidRequestError true worker",
      "HostUnsupported",
      "",
    ]);
  });

  test("a bundler takes it without a warning and keeps the worker's URL", async () => {
    const entry = join(folder, "app.js");
    writeFileSync(
      entry,
      `import { Engine } from ${JSON.stringify(join(dist, "index.js"))}; globalThis.E = Engine;`,
    );
    const { warnings, outputFiles } = await build({
      entryPoints: [entry],
      bundle: true,
      format: "esm",
      write: false,
      outdir: folder,
      splitting: true,
      logLevel: "silent",
    });
    expect(warnings).toEqual([]);
    expect(
      outputFiles.some((f) => /new URL\("\.\/worker\.js", ?import\.meta\.url\)/.test(f.text)),
    ).toBe(true);
  });

  test("names only files of its own where bundlers look for files", () => {
    const named = readdirSync(dist)
      .filter((file) => file.endsWith(".js"))
      .flatMap((file) => [
        ...readFileSync(join(dist, file), "utf8").matchAll(
          /new URL\("([^"]+)", ?import\.meta\.url/g,
        ),
      ])
      .map(([, path = ""]) => path);
    expect(named).toContain("grammar.wasm");
    for (const path of named) expect(existsSync(join(dist, path)), path).toBe(true);
  });

  test("is found by `import` and by `require`", () => {
    const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      exports: Record<string, string | Record<string, string>>;
    };
    for (const [name, entry] of Object.entries(exports)) {
      if (typeof entry !== "string") expect(Object.keys(entry), name).toEqual(["types", "default"]);
    }
  });

  test("has types that TypeScript checks with all that they import", async () => {
    const modules = join(folder, "node_modules");
    mkdirSync(join(modules, "webbuild"), { recursive: true });
    symlinkSync(dist, join(modules, "webbuild", "dist"));
    for (const name of ["package.json", "types"])
      symlinkSync(join(root, name), join(modules, "webbuild", name));
    symlinkSync(join(root, "../node_modules/@webgpu"), join(modules, "@webgpu"));
    const page = `import { Engine } from "webbuild";
      import { createFetch } from "webbuild/http";
      createFetch(await Engine.load("/", { gpu: navigator.gpu }));
      // @ts-expect-error
      await Engine.load("/", { gpu: 5 });`;
    writeFileSync(join(folder, "page.mts"), page);
    const lib = ["dom", "dom.iterable", "es2022"];
    const compilerOptions = { module: "nodenext", target: "es2022", strict: true, noEmit: true };
    const checks = {
      skipLibCheck: false,
      exactOptionalPropertyTypes: true,
      preserveSymlinks: true,
    };
    const config = { compilerOptions: { ...compilerOptions, ...checks, lib, types: [] } };
    writeFileSync(
      join(folder, "tsconfig.json"),
      JSON.stringify({ ...config, files: ["page.mts"] }),
    );
    const tsc = join(root, "../node_modules/typescript/bin/tsc");
    const { stdout } = await run(process.execPath, [tsc, "-p", folder]).catch((error) => error);
    expect(stdout).toBe("");
    // From 6 on its own library has WebGPU's types, and others contradict them.
    const { imports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      imports: { "#webgpu": Record<string, string> };
    };
    const [condition, file = ""] = Object.entries(imports["#webgpu"])[0] ?? [];
    expect(condition).toBe("types@>=6");
    expect(readFileSync(join(root, file), "utf8")).not.toContain("<reference");
  }, 60_000);

  test("names no Node module that a browser's bundler would look for", () => {
    for (const name of ["index", "worker", "shared_worker", "inline", "links", "extension"]) {
      const code = readFileSync(join(dist, `${name}.js`), "utf8");
      expect(code).not.toMatch(/(from|import\(|require\()\s*["']node:/);
    }
  });
});
