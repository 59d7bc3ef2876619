// `node build.mjs [FOLDER]` builds dist/ (or FOLDER), self-contained ES modules (page, worker,
// in-thread engine; the same three for benchmarks), the grammar engine and their types, and prints sizes.
import { execFileSync } from "node:child_process";
import { cpSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

/** What a page loads before its first weight byte, if the pack is not in its storage. */
const FIRST_LOAD = ["index.js", "worker.js", "hash_in_pieces.js"];
const FIRST_LOAD_GZIP = 150_000;

const root = dirname(fileURLToPath(import.meta.url));
const dist = resolve(process.argv[2] ?? join(root, "dist"));
const entries = {
  index: "src/index.ts",
  worker: "src/worker/worker.ts",
  links: "src/worker/links.ts",
  inline: "src/worker/inline.ts",
  hash_in_pieces: "src/store/hash_in_pieces.ts",
  drafted_steps: "src/engine/drafted_steps.ts",
  page_tuning: "src/engine/page_tuning.ts",
  grammar: "src/engine/grammar.ts",
  router: "src/router/index.ts",
  extension: "src/extension/index.ts",
  http: "src/http/index.ts",
  web_llm: "src/compat/web_llm/index.ts",
  web_llm_service_worker: "src/compat/web_llm/service_worker.ts",
  prompt_api: "src/compat/prompt_api/index.ts",
  bench: "src/bench/index.ts",
  bench_worker: "src/bench/bench_worker.ts",
  bench_inline: "src/bench/bench_inline.ts",
};

/** Service workers, which can't import on demand, may have it too: then it can download at least. */
const shared = { shared_worker: "src/worker/shared_worker.ts" };

/** For service workers: has in it all that the others import on demand. */
const whole = { service_worker_engine: "src/worker/shared_worker.ts" };

/** Runs as a classic script and as a module, so its names stay its own. */
const scripts = { "service-worker": "src/http/service_worker.ts" };

/** What stands on the public API imports it, as its users do, and not a copy: one `Engine`, one class for each error. */
const besideThem = {
  name: "compat-beside-the-package",
  setup: ({ onResolve }) =>
    onResolve(
      { filter: /^\.\.\/\.\.\/(index|worker\/(inline|shared_worker))\.js$/ },
      ({ path, importer }) =>
        importer.includes("compat") ? { path: beside(path), external: true } : undefined,
    ),
};

/** Where a module is in the package. What compat's imports of shared_worker.js are in is a service worker's script. */
const beside = (path) =>
  path.endsWith("/shared_worker.js") ? "./service_worker_engine.js" : `./${basename(path)}`;

rmSync(dist, { recursive: true, force: true });
/** @type {import("esbuild").BuildOptions} */
const options = {
  absWorkingDir: root,
  outdir: dist,
  bundle: true,
  platform: "browser",
  target: "es2022",
  minify: true,
  sourcemap: true,
  sourcesContent: false,
  legalComments: "linked",
  // Imported only when asked to run in this thread or in one that pages share, to download, to load a draft, to tune, and for a grammar.
  external: [
    "./inline.js",
    "./links.js",
    "./bench_inline.js",
    "./hash_in_pieces.js",
    "./drafted_steps.js",
    "./page_tuning.js",
    "./grammar.js",
  ],
  logLevel: "warning",
  plugins: [besideThem],
};
await build({ ...options, entryPoints: entries, format: "esm" });
const external = options.external.filter((file) => file !== "./hash_in_pieces.js");
await build({ ...options, entryPoints: shared, format: "esm", external });
await build({ ...options, entryPoints: whole, format: "esm", external: [] });
await build({ ...options, entryPoints: scripts, format: "iife" });
const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
execFileSync(
  process.execPath,
  [tsc, "-p", join(root, "tsconfig.build.json"), "--outDir", join(dist, "types")],
  {
    stdio: "inherit",
  },
);
cpSync(join(root, "src/generated/validate.d.ts"), join(dist, "types/generated/validate.d.ts"));

const engine = execFileSync(join(root, "../scripts/build_grammar.sh"), { encoding: "utf8" }).trim();
for (const file of ["grammar.wasm", "grammar.LICENSE.txt"])
  cpSync(join(engine, file), join(dist, file));

const files = [
  ...Object.keys({ ...entries, ...shared, ...whole, ...scripts }).map((name) => `${name}.js`),
  "grammar.wasm",
];
const sizes = files.map((file) => {
  const bytes = readFileSync(join(dist, file));
  return { file, raw: bytes.length, gzip: gzipSync(bytes, { level: 9 }).length };
});
console.table(sizes);
const first = sizes
  .filter(({ file }) => FIRST_LOAD.includes(file))
  .reduce((sum, { gzip }) => sum + gzip, 0);
console.log(`a page loads first: ${first} bytes gzip (budget ${FIRST_LOAD_GZIP})`);
if (first > FIRST_LOAD_GZIP) throw new Error("over the budget");
