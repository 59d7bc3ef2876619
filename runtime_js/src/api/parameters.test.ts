/** What becomes of each parameter of OpenAI's. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { InvalidRequestError } from "../errors.js";
import { CHAT_PARAMETERS, EXTENSIONS, type Fate, TEXT_PARAMETERS } from "./parameters.js";
import { parseRequest } from "./request.js";
import { RESPONSE_PARAMETERS } from "./responses/params.js";

const messages = [{ role: "user", content: "hi" }];
const fates = Object.entries<Fate>(CHAT_PARAMETERS);
const ask = (name: string, value: unknown) => () => parseRequest({ messages, [name]: value });

function refused(name: string, value: unknown): string {
  try {
    ask(name, value)();
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidRequestError);
    expect((error as InvalidRequestError).param).toBe(name);
    return (error as Error).message;
  }
  throw new Error(`${name} was taken`);
}

describe("a parameter of OpenAI's that the engine", () => {
  const named = (want: (fate: Fate) => boolean) => fates.filter(([, fate]) => want(fate));

  test.each(named((f) => typeof f === "object" && "refused" in f))("refuses: %s", (name, fate) => {
    const { refused: reason } = fate as { refused: string };
    for (const value of [{}, "x", true]) expect(refused(name, value)).toBe(`${name} ${reason}`);
    expect(ask(name, null)).not.toThrow();
    expect(ask(name, undefined)).not.toThrow();
  });

  test.each(named((f) => typeof f === "object" && "only" in f))("does one of: %s", (name, fate) => {
    const { only, reason } = fate as { only: readonly unknown[]; reason: string };
    for (const value of [...only, null]) expect(ask(name, value)).not.toThrow();
    for (const value of ["high", true, ["text", "audio"], [], 0]) {
      expect(refused(name, value)).toContain(reason);
    }
  });

  test.each(named((f) => typeof f === "object" && "label" in f))(
    "only passes: %s",
    (name, fate) => {
      const { label } = fate as { label: string };
      const plain = parseRequest({ messages });
      const value = label === "string" ? "x" : { a: "x" };
      expect(ask(name, value)()).toEqual(plain);
      for (const bad of [5, { a: 5 }, ["x"]]) refused(name, bad);
    },
  );
});

test("what is not OpenAI's is pointed to its place, what is nobody's is refused", () => {
  for (const name of EXTENSIONS) {
    expect(refused(name, 1)).toBe(`${name} is not OpenAI's: give it as webbuild.${name}`);
  }
  for (const name of ["temprature", "toString", "constructor", "__proto_"]) {
    expect(refused(name, 1)).toBe(`${name} is not a parameter of this engine`);
  }
  expect(() => parseRequest({ messages, webbuild: { topk: 1 } })).toThrow(/^webbuild.topk is not/);
  expect(() => parseRequest({ messages, webbuild: [] })).toThrow(/^webbuild must be an object/);
  expect(parseRequest({ messages, webbuild: null })).toEqual(parseRequest({ messages }));
});

test("docs/api.md tells of every parameter and extension", () => {
  const docs = readFileSync(new URL("../../../docs/api.md", import.meta.url), "utf8");
  const names = [
    ...Object.keys(CHAT_PARAMETERS),
    ...Object.keys(TEXT_PARAMETERS),
    ...Object.keys(RESPONSE_PARAMETERS),
    ...EXTENSIONS,
  ];
  expect(names.filter((name) => !docs.includes(`\`${name}\``))).toEqual([]);
});
