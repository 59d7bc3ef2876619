// Types of the pack's files and of a benchmark's report, and a validator of the former, made from
// their JSON Schemas.
//
//   node scripts/generate_types.mjs DIR      (called by `python -m webbuild.schema.generate`)
//
// Reads DIR/*.schema.json; writes DIR/<name>.ts, DIR/validate.js and DIR/validate.d.ts.
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import Ajv from "ajv/dist/2020.js";
import standaloneCode from "ajv/dist/standalone/index.js";
import { compile } from "json-schema-to-typescript";

const directory = process.argv[2];
const made = "Made from builder/webbuild/schema by `make generate`; do not edit.";

/** The type that each schema's root becomes. */
const roots = {
  pack: "PackManifest",
  program: "Program",
  kernels: "KernelFile",
  tensor_cache: "TensorCache",
  bench_report: "BenchReport",
};

/** What the runtime reads; reports it only writes. */
const validated = Object.entries(roots).filter(([name]) => name !== "bench_report");

/** Types whose names would hide JavaScript's own. */
const renamed = { Symbol: "ProgramSymbol", Function: "ProgramFunction", Buffer: "ProgramBuffer" };

/** A deep copy of `node` in which `change` has seen every object's [key, value] pairs. */
function mapEntries(node, change) {
  if (Array.isArray(node)) return node.map((item) => mapEntries(item, change));
  if (node === null || typeof node !== "object") return node;
  const entries = change(Object.entries(node));
  return Object.fromEntries(entries.map(([key, value]) => [key, mapEntries(value, change)]));
}

/** The schema in the older draft's words, which json-schema-to-typescript understands. */
function forTypes(schema) {
  let text = JSON.stringify(schema);
  for (const [from, to] of Object.entries(renamed)) {
    text = text
      .replaceAll(`"#/$defs/${from}"`, `"#/$defs/${to}"`)
      .replaceAll(`"${from}":{`, `"${to}":{`);
  }
  return mapEntries(JSON.parse(text), (entries) =>
    entries
      .filter(([key]) => key !== "discriminator" && key !== "default")
      .map(([key, value]) => [key === "prefixItems" ? "items" : key, value]),
  );
}

/** The schema without what only people read, and with discriminators as Ajv wants them. */
function forValidation(schema) {
  return mapEntries(schema, (entries) =>
    entries
      .filter(([key, value]) => key !== "description" || typeof value === "object")
      .flatMap(([key, value]) =>
        key === "discriminator"
          ? // Without a type, Ajv's discriminator lets everything pass that is no object.
            [
              ["type", "object"],
              [key, { propertyName: value.propertyName }],
            ]
          : [[key, value]],
      ),
  );
}

/**
 * The program's schema with its functions left for later: most of its bytes, of which a device needs one tier's.
 * `isProgram` lets any object pass for one, `isProgramFunction` checks it.
 */
function withoutFunctions(schema) {
  const head = structuredClone(schema);
  head.$defs.Tier.properties.functions.additionalProperties = { type: "object" };
  return head;
}

const schemas = {};
for (const file of (await readdir(directory)).filter((f) => f.endsWith(".schema.json")).sort()) {
  const name = file.replace(".schema.json", "");
  schemas[name] = JSON.parse(await readFile(join(directory, file), "utf8"));
  const types = await compile(forTypes(schemas[name]), roots[name], {
    additionalProperties: false,
    bannerComment: `// ${made}`,
    ignoreMinAndMaxItems: false,
    style: { printWidth: 100 },
    unknownAny: true,
  });
  await writeFile(join(directory, `${name}.ts`), types);
}

const ajv = new Ajv({
  code: { source: true, esm: true, lines: false },
  discriminator: true,
  strict: true,
  strictTypes: false,
  inlineRefs: false,
});
const exported = {};
for (const [name, root] of [...validated].sort()) {
  const schema = name === "program" ? withoutFunctions(schemas[name]) : schemas[name];
  ajv.addSchema({ ...forValidation(schema), $id: name });
  exported[`is${root}`] = name;
}
exported.isProgramFunction = "program#/$defs/Function";
// Every page loads it, so it says of what is wrong what errors tell: where, the rule, and a message.
const code = standaloneCode(ajv, exported).replace(/schemaPath:"[^"]*",|params:\{[^{}]*\},/g, "");
if (/\brequire\(|new Function|\beval\(/.test(code)) {
  throw new Error(
    "the validator needs a module or evaluates code: change the schema or this script",
  );
}
await writeFile(join(directory, "validate.js"), `// ${made}\n${code}\n`);

const imports = validated.map(([name, type]) => {
  const types = name === "program" ? `${type}, ProgramFunction` : type;
  return `import type { ${types} } from "./${name}";`;
});
const guards = [...validated.map(([, type]) => type), "ProgramFunction"].map(
  (
    type,
  ) => `/** Whether \`data\` has the form of a ${type}; if not, \`is${type}.errors\` says why. */
export declare const is${type}: Validator<${type}>;`,
);
await writeFile(
  join(directory, "validate.d.ts"),
  `// ${made}
${imports.join("\n")}

export interface ValidationError {
  /** JSON pointer to the offending value. */
  instancePath: string;
  /** The rule that it breaks, such as \`required\` or \`type\`. */
  keyword: string;
  message?: string;
}

export interface Validator<T> {
  (data: unknown): data is T;
  errors: ValidationError[] | null;
}

${guards.join("\n\n")}
`,
);
