// Types and validator of the pack's files, made from their JSON Schemas.
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
};

/** A tuple in the older drafts' words, which json-schema-to-typescript understands. */
function withItemLists(node) {
  if (Array.isArray(node)) return node.map(withItemLists);
  if (node === null || typeof node !== "object") return node;
  const { prefixItems, discriminator, default: _, ...rest } = node;
  const copy = Object.fromEntries(Object.entries(rest).map(([k, v]) => [k, withItemLists(v)]));
  return prefixItems ? { ...copy, items: prefixItems.map(withItemLists) } : copy;
}

/** A schema without what only people read. */
function bare(node) {
  if (Array.isArray(node)) return node.map(bare);
  if (node === null || typeof node !== "object") return node;
  const kept = Object.entries(node).filter(([k, v]) => k !== "description" || typeof v === "object");
  return Object.fromEntries(kept.map(([k, v]) => [k, bare(v)]));
}

const schemas = {};
for (const file of (await readdir(directory)).filter((f) => f.endsWith(".schema.json")).sort()) {
  const name = file.replace(".schema.json", "");
  schemas[name] = JSON.parse(await readFile(join(directory, file), "utf8"));
  const types = await compile(withItemLists(schemas[name]), roots[name], {
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
  inlineRefs: true,
  messages: true,
  strict: true,
  strictTuples: false,
  allowUnionTypes: true,
});
const exported = {};
for (const [name, schema] of Object.entries(schemas)) {
  ajv.addSchema({ ...bare(schema), $id: name });
  exported[`is${roots[name]}`] = name;
}
const code = standaloneCode(ajv, exported);
if (/\brequire\(|new Function|\beval\(/.test(code)) {
  throw new Error("the validator needs a module or evaluates code: change the schema or this script");
}
await writeFile(join(directory, "validate.js"), `// ${made}\n${code}\n`);

const imports = Object.entries(roots).map(([name, type]) => `import type { ${type} } from "./${name}";`);
const guards = Object.values(roots).map(
  (type) => `/** Whether \`data\` has the form of a ${type}; if not, \`is${type}.errors\` says why. */
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
  params: Record<string, unknown>;
}

export interface Validator<T> {
  (data: unknown): data is T;
  errors: ValidationError[] | null;
}

${guards.join("\n\n")}
`,
);
