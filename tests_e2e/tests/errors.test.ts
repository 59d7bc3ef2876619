// Errors by name, brought about for real on two hosts: the page's main thread and its worker. Refused requests are in the
// conformance suite, lost devices in device_loss.test.ts, damaged and stale saved prefixes in kv.test.ts, drafts in draft.test.ts.

import { createHash } from "node:crypto";
import { expect, PACK, test } from "../harness/fixtures.js";
import type { ProxyServer } from "../harness/proxy_server.js";

/** Serves another text for a file of the pack, which its pack.json knows. */
function replace(server: ProxyServer, path: string, text: string): void {
  server.breakPath(`/${PACK}${path}`, { rewrite: () => Buffer.from(text) });
  server.breakPath(`/${PACK}pack.json`, {
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
        const engine = await webbuild.Engine.load(pack, { worker });
        const { completions } = engine.chat;
        await note("TemplateError", completions.create(hello));
        const kvAddr = { engine: "x", transfer: "x", begin: 0, end: 1 } as never;
        await note("PeerUnknown", engine.remoteSend("Hello", { kvAddr, to: "nobody" }));
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
        ...["AbortError", "TemplateError", "PeerUnknown", "EngineUnloaded"].map(twice),
        ...["WorkerFailed", "ProtocolMismatch", "HostUnsupported"].map(once),
      ]),
    );
  });
});
