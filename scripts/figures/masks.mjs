// node masks.mjs VOCABULARY ROUNDS: see masks.py.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { openGrammars } from "../../runtime_js/dist/grammar.js";

const tokens = JSON.parse(readFileSync(process.argv[2], "utf8")).map(
  (hex) => new Uint8Array(Buffer.from(hex, "hex")),
);
const rounds = Number(process.argv[3]);
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

const people = ["Ada Lovelace", "Zoë Müller", "李雷"].map((name, i) => ({
  name,
  age: 36 + i,
  email: `person.${i}@mail.example.org`,
  tags: ["first of all", "second", `tag-${i}`],
  address: { street: `${i + 1} Some "quoted" Street`, city: "Paris" },
}));
/** Answers as a model writes them, compact and indented. */
const answers = {
  json: [
    JSON.stringify({ people, total: 3, ok: true, none: null, ratio: -1.5e-3 }),
    JSON.stringify({ people }, null, 2),
  ],
  schema: [JSON.stringify(people), JSON.stringify(people, null, 2)],
  open: [JSON.stringify({ alpha: 1, beta: "some words of text", gamma: 2.75, delta: "more" })],
  date: ['"2024-02-29T23:59:58.125Z"', '"1999-12-31T00:00:00+02:00"'],
  regex: ["Anna Maria Smith 2024-05", "Bob Jones 1999-12"],
};

const longest = Math.max(...tokens.map((token) => token.length));
const ids = new Map(tokens.map((token, id) => [Buffer.from(token).toString("latin1"), id]));
/** Ids of a text, the longest token at each place. */
function encode(text) {
  const bytes = Buffer.from(text).toString("latin1");
  const encoded = [];
  for (let from = 0; from < bytes.length; ) {
    let length = Math.min(longest, bytes.length - from);
    while (!ids.has(bytes.slice(from, from + length))) length--;
    encoded.push(ids.get(bytes.slice(from, from + length)));
    from += length;
  }
  return encoded;
}

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
const all = { anew: [], cached: [] };
const rows = {};
for (const [name, spec] of Object.entries(specs)) {
  const begun = performance.now();
  const grammar = grammars.compile(spec);
  const compileMs = Math.round(performance.now() - begun);
  const times = { anew: [], cached: [] };
  for (let round = 0; round < rounds; round++) {
    for (const answer of answers[name]) {
      const matcher = grammar.matcher();
      for (const [i, id] of [...encode(answer), end].entries()) {
        const ask = { anew: () => matcher.maskAnew(mask), cached: () => matcher.mask(mask) };
        for (const side of i % 2 ? ["anew", "cached"] : ["cached", "anew"]) {
          const from = performance.now();
          ask[side]();
          times[side].push((performance.now() - from) * 1000);
        }
        if (!matcher.accept(id)) throw new Error(`${name}: ${answer} is refused at token ${i}`);
      }
      matcher.free();
    }
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
