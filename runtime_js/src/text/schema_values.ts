/** Values of arguments, by what a function's schema says of them. */
import type { ToolSpec } from "./tools.js";

/** Schemas of a function's arguments. */
export function propertiesOf(spec: ToolSpec | undefined) {
  const properties = spec?.function.parameters?.["properties"];
  return (properties ?? {}) as Record<string, { type?: unknown } | undefined>;
}

/** A value between tags as JSON: a string where the function's schema says so, or where it is nothing else. */
export function jsonOf(key: string, text: string, spec: ToolSpec | undefined): string {
  const value = text.replace(/^\n/, "").replace(/\n$/, "");
  if (propertiesOf(spec)[key]?.type === "string") return JSON.stringify(value);
  const python: Record<string, string> = { True: "true", False: "false", None: "null" };
  const json = python[value.trim()] ?? value.trim();
  try {
    JSON.parse(json);
    return json;
  } catch {
    return JSON.stringify(value);
  }
}
