// Which file may import which. One sentence:
//   demo_site → the npm package's public entries;
//   compat → the public entry; {api, bench, extension, router, http} → {worker, peer} → engine → {program, gpu, cpu, kv, text, grammar, store} → {generated, errors}.
// A layer may import the layers after it, never one before it.

const layers = [
  ["api", "bench", "extension", "router", "http"],
  ["worker", "peer"],
  ["engine"],
  ["program", "gpu", "cpu", "kv", "text", "grammar", "store"],
  ["generated"],
];

/** One rule per layer: nothing in it may import a layer above it. */
const downwardOnly = layers.slice(1).map((layer, i) => ({
  name: `runtime-${layer.length === 1 ? layer[0] : "parts"}-imports-downward-only`,
  comment: "see docs/architecture.md: imports run one way",
  severity: "error",
  from: { path: `^runtime_js/src/(${layer.join("|")})/` },
  to: {
    path: `^runtime_js/src/(index\\.ts$|(${layers
      .slice(0, i + 1)
      .flat()
      .join("|")})/)`,
  },
}));

module.exports = {
  forbidden: [
    { name: "no-cycles", severity: "error", from: {}, to: { circular: true } },
    ...downwardOnly,
    {
      name: "api-talks-to-the-worker-only",
      comment: "the page side never touches the engine or anything under it",
      severity: "error",
      from: { path: "^runtime_js/src/api/" },
      to: {
        path: "^runtime_js/src/(engine|program|gpu|cpu|kv|text|grammar|store)/",
        dependencyTypesNot: ["type-only"],
      },
    },
    {
      name: "compat-uses-the-public-entry-only",
      comment:
        "what other libraries' users call stands on what ours do; inline.js and shared_worker.js are engines in workers of theirs",
      severity: "error",
      from: { path: "^runtime_js/src/compat/" },
      to: {
        path: "^runtime_js/src/",
        pathNot:
          "^runtime_js/src/(compat/|index\\.ts$|worker/(inline|shared_worker)\\.ts$|testing/)",
      },
    },
    {
      name: "nothing-stands-on-compat",
      severity: "error",
      from: { path: "^runtime_js/src/", pathNot: "^runtime_js/src/compat/" },
      to: { path: "^runtime_js/src/compat/" },
    },
    {
      name: "site-uses-the-public-entries-only",
      comment:
        'the site is the npm package\'s first user: `import … from "webbuild"` and "webbuild/bench", nothing deeper',
      severity: "error",
      from: { path: "^demo_site/" },
      to: {
        path: "^runtime_js/",
        pathNot:
          "^runtime_js/(dist/(index|bench|router)\\.js|dist/types/((bench|router)/)?index\\.d\\.ts|package\\.json)$",
      },
    },
    {
      name: "runtime-stands-alone",
      severity: "error",
      from: { path: "^runtime_js/" },
      to: { path: "^(demo_site|tests_e2e|scripts)/" },
    },
    {
      name: "no-undeclared-packages",
      comment: "a package that is imported must be in that workspace's package.json",
      severity: "error",
      from: { path: "^(runtime_js|demo_site)/src/", pathNot: "\\.test\\.ts$" },
      to: { dependencyTypes: ["npm-no-pkg", "npm-unknown"] },
    },
    {
      name: "nothing-unresolved",
      severity: "error",
      from: { pathNot: "\\.test\\.ts$" },
      // A package of types alone has no module.
      to: { couldNotResolve: true, pathNot: "^@webgpu/types$" },
    },
  ],
  options: {
    doNotFollow: { path: ["node_modules", "/dist/"] },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.base.json" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "types", "default"],
    },
  },
};
