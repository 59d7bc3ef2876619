/** `responseConstraint` as a response format. */
import { exception } from "./errors.js";
import type { LanguageModelPromptOptions } from "./options.js";

/** Flags that change nothing of what a whole text matches. */
const HARMLESS = /^[dguvy]*$/;

/** @throws TypeError, NotSupportedError */
export function responseFormat({
  responseConstraint: constraint,
  omitResponseConstraintInput: omit,
}: LanguageModelPromptOptions): object | undefined {
  if (constraint === undefined || constraint === null) {
    if (omit) throw new TypeError("omitResponseConstraintInput needs a responseConstraint");
    return undefined;
  }
  if (constraint instanceof RegExp) {
    if (!HARMLESS.test(constraint.flags)) {
      throw exception("NotSupportedError", `a constraint can't have the flags ${constraint.flags}`);
    }
    return { type: "regex", pattern: constraint.source };
  }
  if (typeof constraint !== "object" || Array.isArray(constraint)) {
    throw new TypeError("responseConstraint is a JSON schema or a RegExp");
  }
  const json_schema = { name: "response", schema: constraint, strict: true };
  return { type: "json_schema", json_schema };
}
