// Builds the chat site into dist/: one script, one style sheet, the npm package as its users get
// it (dist/webbuild/, imported by URL), and everything in public/.

import { cpSync, existsSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

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
await build({
  entryPoints: { app: join(here, "src/main.tsx"), style: join(here, "src/style.css") },
  outdir: dist,
  bundle: true,
  format: "esm",
  target: ["chrome121", "safari17.5", "firefox128"],
  minify: true,
  sourcemap: true,
  logLevel: "warning",
  plugins: [
    {
      name: "webbuild-beside-the-page",
      setup: ({ onResolve }) =>
        onResolve({ filter: /^webbuild$/ }, () => ({
          path: "./webbuild/index.js",
          external: true,
        })),
    },
  ],
});
cpSync(join(here, "public"), dist, { recursive: true });
cpSync(join(here, "src/index.html"), join(dist, "index.html"));
cpSync(library, join(dist, "webbuild"), {
  recursive: true,
  filter: (path) => !/[\\/]types([\\/]|$)/.test(path),
});

for (const name of ["app.js", "style.css", "index.html"]) {
  const bytes = readFileSync(join(dist, name));
  const kilobytes = (n) => `${(n / 1000).toFixed(1)} kB`.padStart(9);
  console.log(
    `demo_site/dist/${name.padEnd(11)}${kilobytes(bytes.length)}${kilobytes(gzipSync(bytes).length)} gzip`,
  );
}
