/** What arguments of a call as Python code must look like, `key=value, key=value`, by the JSON Schema of the function. */
import { type Format, oneOf, optional, regex, sequence, star, text } from "./structural_tag.js";

type Schema = Record<string, unknown>;

const STRING = regex(`"([^"\\\\\\r\\n]|\\\\["'\\\\nrt])*"|'([^'\\\\\\r\\n]|\\\\["'\\\\nrt])*'`);
const KEY = regex("[A-Za-z_][A-Za-z0-9_]*=");

/** Keywords that hold nothing back. */
const SAYS_NOTHING = ["type", "title", "description", "default", "examples", "deprecated"];

/** @param schema of the arguments object; undefined: any arguments @returns what follows one another; nothing where there are none */
export function pythonArguments(schema: Schema | undefined): Format[] {
  if (schema === undefined || schema["properties"] === undefined) {
    const any = [KEY, oneOf([STRING, ...literals([true, false, null]), json({})])];
    const closed = schema?.["additionalProperties"] === false;
    return closed ? [] : [optional(...any, star(...text(", "), ...any))];
  }
  const { $defs, definitions } = schema;
  const defs = { ...($defs ? { $defs } : {}), ...(definitions ? { definitions } : {}) };
  const required = new Set(schema["required"] as string[] | undefined);
  const all = Object.entries(schema["properties"] as Record<string, Schema>).map(
    ([key, value]) => ({
      argument: [...text(`${key}=`), argumentOf(value, defs)],
      needed: required.has(key),
    }),
  );
  const after = ({ argument, needed }: (typeof all)[number]): Format => {
    const [comma] = text(", ") as [Format];
    return needed ? sequence(comma, ...argument) : optional(comma, ...argument);
  };
  // Commas stand between: before the first that must be there, each brings its own along; after it, each follows one.
  const first = all.findIndex(({ needed }) => needed);
  if (first >= 0) {
    const early = all.slice(0, first).map(({ argument }) => optional(...argument, ...text(", ")));
    const [{ argument }, ...late] = all.slice(first) as [(typeof all)[number]];
    return [...early, ...argument, ...late.map(after)];
  }
  const begun = all.map(({ argument }, i) => sequence(...argument, ...all.slice(i + 1).map(after)));
  return begun.length === 0 ? [] : [optional(oneOf(begun))];
}

/** A value as Python has it where that is simple; else as JSON, which Python reads but for its three words. */
function argumentOf(schema: Schema, defs: Schema): Format {
  const { type, enum: choices, items } = schema;
  const says = (...known: string[]) =>
    Object.keys(schema).some((key) => !SAYS_NOTHING.includes(key) && !known.includes(key));
  if ("const" in schema && !says("const")) return oneOf(literals([schema["const"]]));
  if (Array.isArray(choices) && !says("enum")) return oneOf(literals(choices));
  if (type === "boolean") return oneOf(literals([true, false]));
  if (type === "null") return oneOf(literals([null]));
  if (type === "string" && !says()) return STRING;
  if (type === "array" && items && !says("items")) {
    const item = argumentOf(items as Schema, defs);
    const several = optional(item, star(...text(", "), item));
    return sequence(...text("["), several, ...text("]"));
  }
  return json({ ...schema, ...defs });
}

const json = (json_schema: Schema): Format => ({ type: "json_schema", json_schema });

/** These values as Python writes them, strings in either kind of quotes. */
function literals(values: readonly unknown[]): Format[] {
  return values.flatMap((value) => {
    if (value === null) return text("None");
    if (typeof value === "boolean") return text(value ? "True" : "False");
    if (typeof value !== "string") return text(JSON.stringify(value));
    const inner = JSON.stringify(value).slice(1, -1);
    const single = inner.replaceAll('\\"', '"').replaceAll("'", "\\'");
    return [...text(`"${inner}"`), ...text(`'${single}'`)];
  });
}
