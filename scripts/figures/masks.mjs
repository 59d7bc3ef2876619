// node masks.mjs VOCABULARY WALKS: see masks.py.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { openGrammars } from "../../runtime_js/dist/grammar.js";

const tokens = JSON.parse(readFileSync(process.argv[2], "utf8")).map(
  (hex) => new Uint8Array(Buffer.from(hex, "hex")),
);
const walks = Number(process.argv[3]);
const end = tokens.length - 1;
const vocabulary = {
  size: tokens.length,
  stopTokens: [end],
  bytes: (id) => tokens[id],
  isSpecial: (id) => id === end,
};

const person = {
  type: "object",
  properties: {
    name: { type: "string" },
    age: { type: "integer", minimum: 0, maximum: 150 },
    email: { type: "string", format: "email" },
    tags: { type: "array", items: { type: "string", maxLength: 20 } },
    address: {
      type: "object",
      properties: { street: { type: "string" }, city: { type: "string" } },
      required: ["street"],
    },
  },
  required: ["name", "age", "email", "tags", "address"],
};
const specs = {
  json: { kind: "json" },
  schema: {
    kind: "json_schema",
    schema: JSON.stringify({ type: "array", items: person, minItems: 3, maxItems: 3 }),
  },
  open: {
    kind: "json_schema",
    schema: JSON.stringify({
      type: "object",
      additionalProperties: { anyOf: [{ type: "number" }, { type: "string" }] },
    }),
  },
  date: { kind: "json_schema", schema: JSON.stringify({ type: "string", format: "date-time" }) },
  regex: { kind: "regex", pattern: "([A-Z][a-z]+ ){2,5}\\d{4}-\\d{2}" },
};

let seed = 1;
const random = () => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed / 2 ** 32;
};
const at = (sorted, share) =>
  sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
const summary = (times) => {
  const sorted = [...times].sort((a, b) => a - b);
  return {
    p50: Math.round(at(sorted, 0.5)),
    p99: Math.round(at(sorted, 0.99)),
    max: Math.round(sorted.at(-1)),
    masks: sorted.length,
  };
};

const opened = performance.now();
const grammars = await openGrammars(vocabulary);
const openMs = Math.round(performance.now() - opened);
const mask = new Uint32Array(Math.ceil(vocabulary.size / 32));
const closing = new Set(
  [...'"}],:0'].map((c) => tokens.findIndex((t) => t.length === 1 && t[0] === c.charCodeAt(0))),
);
const all = { anew: [], cached: [] };
const rows = {};
for (const [name, spec] of Object.entries(specs)) {
  const begun = performance.now();
  const grammar = grammars.compile(spec);
  const compileMs = Math.round(performance.now() - begun);
  const times = { anew: [], cached: [] };
  for (let walk = 0; walk < walks; walk++) {
    const matcher = grammar.matcher();
    for (let taken = 0; taken < 120 && !matcher.terminated; taken++) {
      const ask = { anew: () => matcher.maskAnew(mask), cached: () => matcher.mask(mask) };
      for (const side of taken % 2 ? ["anew", "cached"] : ["cached", "anew"]) {
        const from = performance.now();
        ask[side]();
        times[side].push((performance.now() - from) * 1000);
      }
      const allowed = [];
      for (let id = 0; id < vocabulary.size; id++)
        if ((mask[id >> 5] >>> (id & 31)) & 1) allowed.push(id);
      const closers = taken > 40 ? allowed.filter((id) => closing.has(id) || id === end) : [];
      const from = closers.length > 0 && random() < 0.7 ? closers : allowed;
      matcher.accept(from[Math.floor(random() * from.length)]);
    }
    matcher.free();
  }
  rows[name] = { compileMs, anew: summary(times.anew), cached: summary(times.cached) };
  all.anew.push(...times.anew);
  all.cached.push(...times.cached);
}
console.table(
  Object.fromEntries(
    Object.entries(rows).map(([name, { compileMs, anew, cached }]) => [
      name,
      {
        "compile ms": compileMs,
        "anew p50 µs": anew.p50,
        p99: anew.p99,
        max: anew.max,
        "cached p50 µs": cached.p50,
        "p99 ": cached.p99,
        "max ": cached.max,
        masks: cached.masks,
      },
    ]),
  ),
);
const wasm = readFileSync(new URL("../../runtime_js/dist/grammar.wasm", import.meta.url));
console.log(
  JSON.stringify({
    tokens: vocabulary.size,
    openMs,
    anew: summary(all.anew),
    cached: summary(all.cached),
    grammars: rows,
    wasm: { raw: wasm.length, gzip: gzipSync(wasm, { level: 9 }).length },
  }),
);
