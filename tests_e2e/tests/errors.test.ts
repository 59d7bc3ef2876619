// Errors by name, brought about for real on two hosts: the page's main thread and its worker. Where each class is provoked is the
// table in runtime_js/src/errors.test.ts.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { expect, PACK, test } from "../harness/fixtures.js";
import type { ProxyServer } from "../harness/proxy_server.js";

/** Serves another text for a file of the pack, which its pack.json knows. */
function replace(server: ProxyServer, path: string, text: string, pack = PACK): void {
  server.breakPath(`/${pack}${path}`, { rewrite: () => Buffer.from(text) });
  server.breakPath(`/${pack}pack.json`, {
    rewrite: (body) => {
      const manifest = JSON.parse(body.toString());
      const file = manifest.files.find((one: { path: string }) => one.path === path);
      file.nbytes = Buffer.byteLength(text);
      file.sha256 = createHash("sha256").update(text).digest("hex");
      return Buffer.from(JSON.stringify(manifest));
    },
  });
}

const edit = (from: string | RegExp, to: string) => ({
  rewrite: (body: Buffer) => Buffer.from(body.toString().replace(from, to)),
});

/** A file of the demo pack, changed. */
function changed(path: string, change: (text: string) => string): string {
  const file = new URL(`../../demo_site/public/packs/demo/${path}`, import.meta.url);
  return change(readFileSync(file, "utf8"));
}

/** Two tokens change places. */
function swapped(text: string): string {
  const tokenizer = JSON.parse(text);
  const { vocab } = tokenizer.model;
  const [a, b] = Object.keys(vocab).slice(-2) as [string, string];
  Object.assign(vocab, { [a]: vocab[b], [b]: vocab[a] });
  return JSON.stringify(tokenizer);
}

/** The demo pack again, with another template. */
const OTHER_PACK = "packs/bare/";

/** What is broken before the load, and its options. */
const LOADS: [name: string, breaks: (server: ProxyServer) => void, options?: object][] = [
  ["MissingFile", (s) => s.breakPath(`/${PACK}tokenizer.json`, { status: 404 })],
  ["InvalidPack", (s) => s.breakPath(`/${PACK}pack.json`, edit("{", "["))],
  [
    "UnsupportedFormatVersion",
    (s) => s.breakPath(`/${PACK}pack.json`, edit(/"format_version":\d+/, '"format_version":99')),
  ],
  ["HashMismatch", (s) => s.breakPath(`/${PACK}tokenizer.json`, edit('"version"', '"Version"'))],
  [
    "TruncatedFile",
    (s) => s.breakPath(`/${PACK}tokenizer.json`, { rewrite: (body) => body.subarray(0, -9) }),
  ],
  ["TokenizerError", (s) => replace(s, "tokenizer.json", '{"model":{"type":"Word"}}')],
  ["NetworkError", (s) => s.breakPath(`/${PACK}tokenizer.json`, { status: 500 })],
  ["InvalidRequestError", () => {}, { contextLength: 1 }],
  ["AdapterLimit", () => {}, { kvTokens: 1e9 }],
  [
    "DraftMismatch",
    (s) => replace(s, "tokenizer.json", changed("tokenizer.json", swapped), OTHER_PACK),
    { draft: OTHER_PACK },
  ],
  [
    "DeviceError",
    (s) => {
      const broken = (text: string) => text.replaceAll("@compute ", "@compute @nonsense ");
      replace(s, "kernels.json", changed("kernels.json", broken));
    },
  ],
];

test.describe("a load that can't succeed says why", () => {
  test.use({ allowedErrors: /Failed to load resource/ }); // the browser logs them by itself

  for (const [name, breaks, options = {}] of LOADS) {
    test(name, async ({ page, server }) => {
      breaks(server);
      const names = await page.evaluate(
        async ({ pack, options, name }) => {
          const Class = webbuild[name as "MissingFile"];
          const names: unknown[] = [];
          for (const worker of [true, false]) {
            const load = webbuild.Engine.load(pack, { ...options, worker, cache: false });
            const error = await load.catch((error) => error);
            names.push([error.name, error instanceof Class]);
          }
          return names;
        },
        { pack: PACK, options, name },
      );
      expect(names).toEqual([
        [name, true],
        [name, true],
      ]);
    });
  }
});

test.describe("hosts", () => {
  test.use({ allowedErrors: /Failed to load resource/ });

  test("a loaded engine's errors, and those of hosts", async ({ page, server }) => {
    replace(server, "chat_template.jinja", '{{ raise_exception("no") }}');
    const seen = await page.evaluate(async (pack) => {
      const seen: Record<string, unknown[]> = {};
      const note = async (expected: string, promise: Promise<unknown>) => {
        const error = await promise.catch((error) => error);
        const { [expected as "AbortError"]: Class } = webbuild;
        seen[expected] ??= [];
        seen[expected].push(error instanceof Class ? error.name : String(error));
      };
      const hello = { messages: [{ role: "user" as const, content: "Hello" }], max_tokens: 4 };
      for (const worker of [true, false]) {
        const signal = AbortSignal.abort();
        await note("AbortError", webbuild.Engine.load(pack, { worker, signal }));
        const engine = await webbuild.Engine.load(pack, {
          worker,
          contextLength: 256,
          kvTokens: 256,
        });
        const { completions } = engine.chat;
        await note("TemplateError", completions.create(hello));
        const tools = [{ type: "function" as const, function: { name: "f" } }];
        await note("ToolsUnsupported", completions.create({ ...hello, tools }));
        const grammar = { type: "grammar", grammar: "root ::= nothing" } as const;
        const asked = { prompt: "Hello", max_tokens: 4, webbuild: { grammar } };
        await note("GrammarError", engine.completions.create(asked));
        await note("ModelNotFound", engine.models.retrieve("another"));
        await note("WrongModelKind", engine.embeddings.create({ input: "Hello" }));
        const kvAddr = { engine: "x", transfer: "x", begin: 0, end: 1 } as never;
        await note("PeerUnknown", engine.remoteSend("Hello", { kvAddr, to: "nobody" }));
        await note("PeerTimeout", engine.peers.join({ id: "nobody", model: "" }));
        // Most pages wait for what nobody sends.
        await engine.prepRecv("and so on ".repeat(50), { timeoutMs: 60_000 });
        const late = engine.prepRecv("this and that ".repeat(50), { timeoutMs: 200 });
        await note("KvRefused", late);
        await engine.unload();
        await note("EngineUnloaded", completions.create(hello));
      }
      const script = (text: string) => URL.createObjectURL(new Blob([text]));
      await note("WorkerFailed", webbuild.Engine.load(pack, { worker: new Worker("missing.js") }));
      const other = new Worker(script("postMessage({ hello: 99 })"));
      await note("ProtocolMismatch", webbuild.Engine.load(pack, { worker: other }));
      Object.assign(globalThis, { SharedWorker: undefined });
      await note("HostUnsupported", webbuild.Engine.load(pack, { worker: "shared" }));
      return seen;
    }, PACK);
    const twice = (name: string) => [name, [name, name]];
    const once = (name: string) => [name, [name]];
    expect(seen).toEqual(
      Object.fromEntries([
        ...["AbortError", "TemplateError", "ToolsUnsupported", "GrammarError"].map(twice),
        ...["ModelNotFound", "WrongModelKind", "PeerUnknown", "PeerTimeout"].map(twice),
        ...["KvRefused", "EngineUnloaded"].map(twice),
        ...["WorkerFailed", "ProtocolMismatch", "HostUnsupported"].map(once),
      ]),
    );
  });
});

test("a saved prefix of another pack, and a storage that is full", async ({
  page,
  server,
  browserProcess,
}) => {
  const visit = (save: boolean) =>
    page.evaluate(
      async ([pack, save]) => {
        const messages = [{ role: "user" as const, content: "What is 17 + 25? ".repeat(20) }];
        const names: unknown[] = [];
        for (const worker of [true, false]) {
          const engine = await webbuild.Engine.load(pack, { worker, revalidate: true });
          const tried = save ? engine.kv.save("sums", messages) : engine.kv.restore("sums");
          const error = await tried.then(
            () => ({ name: "none" }),
            (error) => error,
          );
          const known = [webbuild.StaleKvFile, webbuild.StorageError];
          names.push([error.name, known.some((Class) => error instanceof Class)]);
          await engine.unload();
        }
        return names;
      },
      [PACK, save] as const,
    );
  const twice = (name: string, own = true) => [
    [name, own],
    [name, own],
  ];
  expect(await visit(true)).toEqual(twice("none", false));
  server.breakPath(`/${PACK}pack.json`, edit('"webbuild-demo"', '"another"'));
  expect(await visit(false)).toEqual(twice("StaleKvFile"));

  const cdp = await browserProcess.newCDPSession(page);
  const origin = new URL(server.url).origin;
  await cdp.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 1000 });
  expect(await visit(true)).toEqual(twice("StorageError"));
  await cdp.send("Storage.overrideQuotaForOrigin", { origin });
});

test("no WebGPU", async ({ page }) => {
  const names = await page.evaluate(async (pack) => {
    // As in a browser without it: the first script of the worker takes it away.
    const without = "delete Object.getPrototypeOf(navigator).gpu";
    const worker = new URL("webbuild/worker.js", location.href).href;
    const first = URL.createObjectURL(new Blob([without], { type: "text/javascript" }));
    const code = `import "${first}"; import "${worker}";`;
    const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
    new Function(without)();
    const names: unknown[] = [];
    for (const where of [new Worker(url, { type: "module" }), false]) {
      const load = webbuild.Engine.load(pack, { worker: where });
      const error = await load.catch((error) => error);
      names.push([error.name, error instanceof webbuild.NoWebGPU]);
    }
    return names;
  }, PACK);
  expect(names).toEqual([
    ["NoWebGPU", true],
    ["NoWebGPU", true],
  ]);
});

test("what apps that are written for WebLLM ask for", async ({ page }) => {
  const names = await page.evaluate(async () => {
    const script = "./webbuild/web_llm.js";
    const { MLCEngine } = (await import(script)) as typeof import("webbuild/compat/web-llm");
    const engine = new MLCEngine();
    const seen: unknown[] = [];
    const asked: Promise<unknown>[] = [engine.forwardTokensAndSample(), engine.getMessage()];
    for (const promise of asked) {
      const error = (await promise.catch((error: unknown) => error)) as Error;
      const { [error.name as "Unsupported"]: Class } = webbuild;
      seen.push([error.name, error instanceof Class]);
    }
    return seen;
  });
  expect(names).toEqual([
    ["Unsupported", true],
    ["ModelNotLoaded", true],
  ]);
});
