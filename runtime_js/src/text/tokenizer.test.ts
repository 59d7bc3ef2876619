import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { Tokenizer } from "./tokenizer.js";

/** What `webbuild pack` lets into a pack. */
const PARTS: Record<string, string[]> = JSON.parse(
  readFileSync(new URL("../../../builder/webbuild/tokenizer_parts.json", import.meta.url), "utf8"),
);

const model = { type: "BPE", vocab: { a: 0 }, merges: [] };
const none = { normalizer: null, pre_tokenizer: null, post_processor: null };
const whole = { ...none, model, added_tokens: [], decoder: { type: "ByteLevel" } };

function refusal(json: object): string {
  try {
    new Tokenizer(json, {});
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}

describe("parts of a tokenizer.json that packs may have", () => {
  const named = Object.entries(PARTS).flatMap(([part, types]) =>
    types.map((type) => [part, type] as const),
  );
  test.each(named)("%s %s is known", (part, type) => {
    const made = part === "model" ? { ...model, type } : { type, content: " ", start: 1, stop: 0 };
    // What it lacks beside its type may be complained of; that there is no such type may not.
    expect(refusal({ ...whole, [part]: made })).not.toMatch(/unknown|is not supported/i);
  });

  // A model of an unknown type is taken for one that it looks like: the builder has to refuse it.
  test.each(Object.keys(PARTS).filter((part) => part !== "model"))("another %s is not", (part) => {
    expect(refusal({ ...whole, [part]: { type: "Other" } })).toMatch(/unknown|is not supported/i);
  });

  test.each(Object.keys(PARTS))("one without a %s is refused", (part) => {
    const { [part]: _, ...rest } = whole as Record<string, unknown>;
    expect(refusal(rest)).toMatch(part);
  });
});
