// Builds every example that is a page into dist/NAME/, each with the npm package beside them as `/webbuild/`.
import { cpSync, existsSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/** The package's entries, by the names that pages import. */
const ENTRIES = {
  webbuild: "index.js",
  "webbuild/compat/web-llm": "web_llm.js",
  "webbuild/compat/web-llm/service-worker": "web_llm_service_worker.js",
  "webbuild/http": "http.js",
  "webbuild/prompt-api": "prompt_api.js",
  "webbuild/service-worker.js": "service-worker.js",
};

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "dist");
const names = readdirSync(here).filter((name) => existsSync(join(here, name, "index.html")));

rmSync(dist, { recursive: true, force: true });
const entries = names.flatMap((name) =>
  readdirSync(join(here, name))
    .filter((file) => /^(main|worker|sw)\.(js|ts|tsx)$/.test(file))
    .map((file) => ({
      in: join(here, name, file),
      out: join(name, file.replace(/\.\w+$/, "")),
    })),
);
await build({
  entryPoints: entries,
  outdir: dist,
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  jsx: "automatic",
  logLevel: "warning",
  define: { "process.env.NODE_ENV": '"production"' },
  plugins: [
    {
      // One copy for all, loaded by URL: the package's workers lie beside it.
      name: "webbuild-by-url",
      setup: ({ onResolve }) =>
        onResolve({ filter: /^webbuild(\/|$)/ }, ({ path }) => ({
          path: `/webbuild/${ENTRIES[path]}`,
          external: true,
        })),
    },
  ],
});
for (const name of names) {
  cpSync(join(here, name, "index.html"), join(dist, name, "index.html"));
}
console.log(`examples/dist: ${names.join(", ")}`);
