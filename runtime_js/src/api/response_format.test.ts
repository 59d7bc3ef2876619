import { describe, expect, test } from "vitest";
import { InvalidRequestError } from "../errors.js";
import { parseRequest } from "./request.js";

const messages = [{ role: "user", content: "hi" }];
const grammarOf = (params: object) => parseRequest({ messages, ...params }).choices[0].grammar;
const schema = { type: "object", properties: { a: { type: "integer" } }, required: ["a"] };

describe("response_format", () => {
  test.each([
    [undefined, undefined],
    [null, undefined],
    [{ type: "text" }, undefined],
    [
      { type: "json_object" },
      { kind: "json_schema", schema: '{"type":"object","additionalProperties":true}' },
    ],
    [
      { type: "json_schema", json_schema: { name: "a", schema, strict: true, description: "b" } },
      { kind: "json_schema", schema: JSON.stringify(schema) },
    ],
    [
      { type: "json_schema", json_schema: { name: "a", schema, strict: null } },
      { kind: "json_schema", schema: JSON.stringify(schema) },
    ],
    [{ type: "json_schema", json_schema: { name: "a" } }, { kind: "json" }],
    [
      { type: "regex", pattern: "a+" },
      { kind: "regex", pattern: "a+" },
    ],
    [
      { type: "grammar", grammar: 'root ::= "a"' },
      { kind: "ebnf", grammar: 'root ::= "a"' },
    ],
    [
      { type: "structural_tag", format: { type: "any_text" } },
      { kind: "structural_tag", tag: '{"type":"structural_tag","format":{"type":"any_text"}}' },
    ],
    [
      { type: "packed", name: "weather" },
      { kind: "packed", name: "weather" },
    ],
  ])("%j", (format, grammar) => {
    expect(grammarOf({ response_format: format })).toEqual(grammar);
    expect(grammarOf({ webbuild: { grammar: format } })).toEqual(grammar);
  });

  test("every choice has it", () => {
    const { choices } = parseRequest({ messages, n: 2, response_format: { type: "json_object" } });
    expect(choices[1]?.grammar).toEqual(choices[0].grammar);
    expect(choices[1]?.grammar).toBeDefined();
  });

  test.each([
    ["json", "response_format"],
    [{}, "response_format"],
    [{ type: "xml" }, "response_format"],
    [{ type: "toString" }, "response_format"],
    [{ type: "json_object", schema }, "response_format.schema"],
    [{ type: "json_schema" }, "response_format.json_schema"],
    [{ type: "json_schema", json_schema: { schema } }, "response_format.json_schema.name"],
    [{ type: "json_schema", json_schema: { name: "a b" } }, "response_format.json_schema.name"],
    [
      { type: "json_schema", json_schema: { name: "a", schema: "{}" } },
      "response_format.json_schema.schema",
    ],
    [
      { type: "json_schema", json_schema: { name: "a", strict: "yes" } },
      "response_format.json_schema.strict",
    ],
    [
      { type: "json_schema", json_schema: { name: "a", description: 1 } },
      "response_format.json_schema.description",
    ],
    [
      { type: "json_schema", json_schema: { name: "a", title: "b" } },
      "response_format.json_schema.title",
    ],
    [{ type: "regex" }, "response_format.pattern"],
    [{ type: "grammar", grammar: "" }, "response_format.grammar"],
    [{ type: "structural_tag", format: [] }, "response_format.format"],
    [{ type: "packed" }, "response_format.name"],
    [{ type: "packed", name: "a", schema: {} }, "response_format.schema"],
  ])("%j is refused by name", refusedAt);

  test("a schema that holds itself is refused by name", () => {
    const own: Record<string, unknown> = {};
    own["properties"] = own;
    const format = { type: "json_schema", json_schema: { name: "a", schema: own } };
    refusedAt(format, "response_format.json_schema.schema");
  });

  function refusedAt(format: unknown, param: string) {
    const refused = (params: object, name: string) => {
      try {
        parseRequest({ messages, ...params });
      } catch (error) {
        expect(error).toBeInstanceOf(InvalidRequestError);
        expect(error).toMatchObject({ data: { param: name } });
        return;
      }
      expect.fail("it was taken");
    };
    refused({ response_format: format }, param);
    const ours = param.replace("response_format", "webbuild.grammar");
    refused({ webbuild: { grammar: format } }, ours);
  }

  test("two of them are refused", () => {
    const both = {
      response_format: { type: "json_object" },
      webbuild: { grammar: { type: "regex", pattern: "a" } },
    };
    expect(() => grammarOf(both)).toThrow("webbuild.grammar");
  });
});
