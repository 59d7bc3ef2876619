/** What the engine compiles for a spec: EBNF, or a structural tag whose schemas and patterns are EBNF. */
import { GrammarError } from "../errors.js";
import { print, prune, type Rules, rule } from "./expression.js";
import { jsonRules, plainCharacter } from "./json_rules.js";
import { schemaRules } from "./json_schema.js";
import { PatternProblem, regex } from "./regex.js";
import type { GrammarSpec, Vocabulary } from "./spec.js";

export interface Source {
  kind: "ebnf" | "tag";
  text: string;
  /** Special tokens that a structural tag names. */
  named: Set<number>;
}

/** Longer texts are refused before they keep the thread busy. */
const MAX_TEXT = 1 << 20;
/** Deeper ones would exhaust the engine's stack. */
const MAX_DEPTH = 200;

/** @throws GrammarError */
export function sourceOf(spec: GrammarSpec, vocabulary: Vocabulary): Source {
  const source = build(spec, vocabulary);
  if (source.text.length > MAX_TEXT)
    throw new GrammarError(
      `the grammar has ${source.text.length} characters, ${MAX_TEXT} are possible`,
      { kind: spec.kind },
    );
  return source;
}

function build(spec: GrammarSpec, vocabulary: Vocabulary): Source {
  switch (spec.kind) {
    case "json":
      return ebnf(jsonRules().set("root", rule("object")));
    case "json_schema":
      return ebnf(schemaRules(spec.schema));
    case "regex":
      return ebnf(regexRules(spec.pattern));
    case "ebnf":
      checkEbnf(spec.grammar);
      return { kind: "ebnf", text: spec.grammar, named: new Set() };
    case "structural_tag":
      return tagSource(spec.tag, vocabulary);
  }
}

const ebnf = (rules: Rules): Source => ({
  kind: "ebnf",
  text: print(prune(rules, "root") as Rules),
  named: new Set(),
});

function regexRules(pattern: string): Rules {
  try {
    const rules: Rules = new Map([["root", regex(pattern, plainCharacter)]]);
    if (prune(rules, "root")) return rules;
  } catch (problem) {
    if (!(problem instanceof PatternProblem)) throw problem;
    throw new GrammarError(`the pattern ${JSON.stringify(pattern)}: ${problem.message}`, {
      kind: "regex",
      keyword: "pattern",
    });
  }
  throw new GrammarError(`no text matches the pattern ${JSON.stringify(pattern)}`, {
    kind: "regex",
    keyword: "pattern",
  });
}

/** What the engine itself would take for ever with. */
function checkEbnf(grammar: string): void {
  let depth = 0;
  for (const c of grammar) {
    if (c === "(" && ++depth > MAX_DEPTH)
      throw new GrammarError(`the grammar's groups nest deeper than ${MAX_DEPTH}`, {
        kind: "ebnf",
      });
    if (c === ")") depth--;
  }
}

/** Schemas and patterns within a tag become grammars of ours, and special tokens ids. */
function tagSource(tag: string, vocabulary: Vocabulary): Source {
  let parsed: unknown;
  try {
    parsed = JSON.parse(tag);
  } catch (cause) {
    throw new GrammarError(`the structural tag is not JSON: ${(cause as Error).message}`, {
      kind: "structural_tag",
    });
  }
  const named = new Set<number>();
  const text = JSON.stringify(rewrite(parsed, specialTokens(vocabulary), named, 0));
  return { kind: "tag", text, named };
}

/** Ids of special tokens by their names. */
function specialTokens(vocabulary: Vocabulary): Map<string, number> {
  const ids = new Map<string, number>();
  const decoder = new TextDecoder();
  for (let id = 0; id < vocabulary.size; id++) {
    if (vocabulary.isSpecial(id)) ids.set(decoder.decode(vocabulary.bytes(id)), id);
  }
  return ids;
}

function rewrite(
  value: unknown,
  special: Map<string, number>,
  named: Set<number>,
  depth: number,
): unknown {
  if (depth > MAX_DEPTH)
    throw new GrammarError(`the structural tag nests deeper than ${MAX_DEPTH}`, {
      kind: "structural_tag",
    });
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((each) => rewrite(each, special, named, depth + 1));
  const part = value as Record<string, unknown>;
  if (
    part["type"] === "json_schema" &&
    part["json_schema"] !== undefined &&
    (part["style"] ?? "json") === "json"
  )
    return {
      type: "grammar",
      grammar: ebnf(schemaRules(JSON.stringify(part["json_schema"]))).text,
    };
  if (
    part["type"] === "regex" &&
    typeof part["pattern"] === "string" &&
    part["excludes"] === undefined
  )
    return { type: "grammar", grammar: ebnf(regexRules(part["pattern"])).text };
  if (part["type"] === "token") {
    const id = special.get(String(part["token"])) ?? part["token"];
    if (typeof id === "number") named.add(id);
    return { ...part, token: id };
  }
  return Object.fromEntries(
    Object.entries(part).map(([key, each]) => [key, rewrite(each, special, named, depth + 1)]),
  );
}
