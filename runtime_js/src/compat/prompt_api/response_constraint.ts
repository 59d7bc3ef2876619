/** `responseConstraint` and an answer's beginning as a response format. */
import { exception } from "./errors.js";
import type { LanguageModelPromptOptions } from "./options.js";

/** Flags that change nothing of what a whole text matches. */
const HARMLESS = /^[dguvy]*$/;

/**
 * @param prefix what the answer begins with: text that a grammar leaves no choice about is added without being drawn
 * @returns undefined for any text
 * @throws TypeError, NotSupportedError
 */
export function responseFormat(
  options: LanguageModelPromptOptions,
  prefix = "",
): object | undefined {
  const rest = constraintOf(options);
  if (prefix !== "") {
    const elements = [{ type: "const_string", value: prefix }, rest ?? { type: "any_text" }];
    return { type: "structural_tag", format: { type: "sequence", elements } };
  }
  if (rest?.type !== "json_schema") return rest;
  const json_schema = { name: "response", schema: rest.json_schema, strict: true };
  return { type: "json_schema", json_schema };
}

/** As a part of a structural tag. */
function constraintOf({
  responseConstraint: constraint,
  omitResponseConstraintInput: omit,
}: LanguageModelPromptOptions): { type: string; json_schema?: object } | undefined {
  if (constraint === undefined || constraint === null) {
    if (omit) throw new TypeError("omitResponseConstraintInput needs a responseConstraint");
    return undefined;
  }
  if (constraint instanceof RegExp) {
    if (!HARMLESS.test(constraint.flags)) {
      throw exception("NotSupportedError", `a constraint can't have the flags ${constraint.flags}`);
    }
    const { source: pattern } = constraint;
    return { type: "regex", pattern } as { type: string };
  }
  if (typeof constraint !== "object" || Array.isArray(constraint)) {
    throw new TypeError("responseConstraint is a JSON schema or a RegExp");
  }
  return { type: "json_schema", json_schema: constraint };
}
