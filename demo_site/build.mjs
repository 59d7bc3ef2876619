// Builds the site into dist/: the chat (app.js), the benchmark (bench.js), the npm package as its
// users get it (dist/webbuild/, imported by URL), and everything in public/.

import { cpSync, existsSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

/** What a visitor of the chat loads before the first weight, if the pack is not in storage. */
const FIRST_LOAD = [
  "index.html",
  "style.css",
  "app.js",
  "webbuild/index.js",
  "webbuild/worker.js",
  "webbuild/hash_in_pieces.js",
];
const FIRST_LOAD_GZIP = 150_000;

/** The package's entries, by the names that pages import. */
const ENTRIES = { webbuild: "index.js", "webbuild/bench": "bench.js" };

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "dist");
const library = join(
  dirname(createRequire(import.meta.url).resolve("webbuild/package.json")),
  "dist",
);

if (!existsSync(join(library, "index.js"))) {
  console.error("The npm package is not built: run `make build-runtime`");
  process.exit(1);
}

rmSync(dist, { recursive: true, force: true });
const { metafile } = await build({
  metafile: true,
  absWorkingDir: here,
  entryPoints: [
    { in: join(here, "src/main.tsx"), out: "app" },
    { in: join(here, "src/style.css"), out: "style" },
    { in: join(here, "src/bench/main.tsx"), out: "bench" },
    { in: join(here, "src/bench/bench.css"), out: "bench" },
  ],
  outdir: dist,
  bundle: true,
  splitting: true,
  chunkNames: "[name]-[hash]",
  format: "esm",
  target: ["chrome121", "safari17.5", "firefox128"],
  minify: true,
  sourcemap: true,
  logLevel: "warning",
  plugins: [
    {
      name: "webbuild-beside-the-page",
      setup: ({ onResolve }) =>
        onResolve({ filter: /^webbuild(\/bench)?$/ }, ({ path }) => ({
          path: `./webbuild/${ENTRIES[path]}`,
          external: true,
        })),
    },
  ],
});
cpSync(join(here, "public"), dist, { recursive: true });
for (const page of ["index.html", "bench.html"]) cpSync(join(here, "src", page), join(dist, page));
cpSync(library, join(dist, "webbuild"), {
  recursive: true,
  filter: (path) => !/[\\/]types([\\/]|$)/.test(path),
});

const kilobytes = (n) => `${(n / 1000).toFixed(1)} kB`.padStart(9);
const gzipped = (name) => {
  const bytes = readFileSync(join(dist, name));
  const size = gzipSync(bytes, { level: 9 }).length;
  console.log(`demo_site/dist/${name.padEnd(19)}${kilobytes(bytes.length)}${kilobytes(size)} gzip`);
  return size;
};
/** What app.js imports at once, and not when it is needed. */
const chunks = Object.entries(metafile.outputs)
  .find(([name]) => name === "dist/app.js")[1]
  .imports.filter(({ kind, external }) => kind === "import-statement" && !external)
  .map(({ path }) => path.slice("dist/".length));
const first = [...FIRST_LOAD, ...chunks].map(gzipped).reduce((sum, size) => sum + size, 0);
for (const name of ["bench.html", "bench.css", "bench.js", "webbuild/bench.js"]) gzipped(name);
console.log(`a visitor of the chat loads first: ${first} bytes gzip (budget ${FIRST_LOAD_GZIP})`);
if (first > FIRST_LOAD_GZIP) throw new Error("over the budget");
