/** Every class of error is exported, crosses from a worker, and is provoked by tests on two hosts. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import * as errors from "./errors.js";
import * as webbuild from "./index.js";

type Host = "Node" | "Node worker" | "page" | "worker" | "service worker" | "any, and /v1";
/** Where it is provoked, and the test that does: its name, or how that begins. */
type Provoked = [hosts: Host[], file: string, name: string];

const ERRORS = "tests_e2e/tests/errors.test.ts";
const load: Provoked = [["page", "worker"], ERRORS, "a load that can't succeed says why"];
const loaded: Provoked = [
  ["page", "worker"],
  ERRORS,
  "a loaded engine's errors, and those of hosts",
];
const storage: Provoked = [
  ["page", "worker"],
  ERRORS,
  "a saved prefix of another pack, and a storage that is full",
];
const apps: Provoked[] = [
  [["page"], ERRORS, "what apps that are written for WebLLM ask for"],
  [["Node"], "runtime_js/src/compat/web_llm/engine.test.ts", ""],
];
const refused: Provoked = [
  ["any, and /v1", "Node"],
  "tests_e2e/conformance/requests.ts",
  "REFUSED",
];
const src = (file: string, name: string, host: Host = "Node"): Provoked => [
  [host],
  `runtime_js/src/${file}.test.ts`,
  name,
];

const PROVOKED: Record<string, Provoked[]> = {
  InvalidRequestError: [refused, load],
  ContextLengthExceeded: [refused],
  GrammarError: [refused, loaded],
  ModelNotFound: [loaded],
  WrongModelKind: [loaded],
  ToolsUnsupported: [loaded],
  TemplateError: [loaded],
  AbortError: [loaded],
  EngineUnloaded: [loaded],
  PeerUnknown: [loaded],
  PeerTimeout: [loaded],
  KvRefused: [loaded],
  Unsupported: apps,
  ModelNotLoaded: apps,
  InvalidPack: [load],
  UnsupportedFormatVersion: [load],
  HashMismatch: [load],
  MissingFile: [load],
  TruncatedFile: [load],
  DraftMismatch: [load],
  TokenizerError: [load],
  NetworkError: [load],
  AdapterLimit: [load],
  DeviceError: [load],
  NoWebGPU: [[["page", "worker"], ERRORS, "no WebGPU"]],
  StorageError: [storage],
  StaleKvFile: [storage],
  InvalidKvFile: [
    [["worker"], "tests_e2e/tests/kv.test.ts", "a saved prompt is there after a reload"],
    src("engine/saved_prefixes", "a damaged file is refused by name"),
  ],
  DeviceLostError: [
    [["worker"], "tests_e2e/tests/device_loss.test.ts", "after a second crash there is no adapter"],
    src("engine/device_loss", "once too often: it rejects by name"),
  ],
  WorkerFailed: [
    loaded,
    [["service worker"], "tests_e2e/tests/hosts.test.ts", "an engine in a service worker answers"],
  ],
  HostUnsupported: [
    loaded,
    [["service worker"], "tests_e2e/tests/hosts.test.ts", "an engine in a service worker answers"],
    src("bundle", "says by name what a host has not"),
  ],
  ProtocolMismatch: [
    loaded,
    src("worker/protocol", "another version is refused by name at the handshake"),
  ],
  PeerLost: [
    src("api/transfer", "the receiver is unloaded, then the sender"),
    src("peer/peer", "a thread that ends in the middle of a call is noticed", "Node worker"),
  ],
  ServiceWorkerFailed: [
    [
      ["page"],
      "tests_e2e/tests/v1.test.ts",
      "a page without service workers, or without the script",
    ],
    src("http/fetch", "without service workers a page can't serve"),
  ],
  OutOfMemory: [src("engine/saved_prefixes", "a prompt that others evict at once")],
};

/** What one host alone can provoke, and why. */
const ONCE: Record<string, string> = {
  OutOfMemory: "in a browser it would take a GPU whose memory is full",
};

const classes = Object.values(errors).filter(
  (one): one is typeof errors.WebbuildError =>
    typeof one === "function" && one.prototype instanceof errors.WebbuildError,
);

test("the table has every class", () => {
  expect(Object.keys(PROVOKED).sort()).toEqual(classes.map((one) => one.className).sort());
});

test.each(classes.map((one) => [one.className, one] as const))("%s", (name, Class) => {
  expect(webbuild).toHaveProperty(name, Class);
  const crossed = errors.fromWire(structuredClone(errors.toWire(new Class("no", { param: "x" }))));
  expect(crossed).toBeInstanceOf(Class);
  expect(crossed).toMatchObject({ name, message: "no", data: { param: "x" } });

  const provoked = PROVOKED[name] ?? [];
  const hosts = new Set(provoked.flatMap(([hosts]) => hosts));
  expect(hosts.size).toBeGreaterThanOrEqual(name in ONCE ? 1 : 2);
  for (const [, file, test] of provoked) {
    const text = readFileSync(new URL(`../../${file}`, import.meta.url), "utf8");
    expect(text, file).toContain(test);
    const said = text.replaceAll(/^import [^;]*;/gm, "");
    expect(said, file).toMatch(new RegExp(`\\b${name}\\b`));
  }
});
