// An answer that must match a schema has the same tokens in Chromium as in Node on Dawn.

import type { Asked } from "../conformance/answer.js";
import { openHost } from "../conformance/hosts.js";
import { expect, test } from "../harness/fixtures.js";

const schema = {
  type: "object",
  properties: {
    city: { enum: ["London", "Lisbon", "Bern"] },
    note: { type: "string", minLength: 2, maxLength: 24 },
    degrees: { type: "integer", minimum: -20, maximum: 40 },
    days: { type: "array", items: { type: "string", format: "date" }, minItems: 1, maxItems: 2 },
    rain: { type: "boolean" },
  },
  required: ["city", "note", "degrees", "days", "rain"],
  additionalProperties: false,
};
const request = {
  messages: [{ role: "user", content: "What is the weather like?" }],
  response_format: { type: "json_schema", json_schema: { name: "weather", schema } },
  logprobs: true,
  max_tokens: 120,
};

test("answers that must match have the same tokens in Chromium and in Node on Dawn", async ({
  adapter,
  browserProcess,
  upstream,
}) => {
  const where = { adapter, browser: browserProcess, site: upstream };
  const asked: Asked[] = [
    { form: "whole", params: { ...request, temperature: 0 } },
    { form: "stream", params: { ...request, temperature: 1.5, seed: 7 } },
  ];
  const answers = [];
  for (const name of ["worker", "Node on Dawn"] as const) {
    const host = await openHost(name, where);
    answers.push(await host.ask(asked));
    await host.close();
  }
  const [chromium = [], node] = answers;
  for (const { choices, error } of chromium) {
    expect(error).toBeNull();
    const { content = "", finish, tokens = [] } = choices[0] ?? {};
    const { city, note, degrees, days, rain } = JSON.parse(content);
    expect(schema.properties.city.enum).toContain(city);
    expect([...note].length).toBeGreaterThanOrEqual(2);
    expect([...note].length).toBeLessThanOrEqual(24);
    expect(degrees >= -20 && degrees <= 40).toBe(true);
    for (const day of days) expect(new Date(day).toISOString().slice(0, 10)).toBe(day);
    expect(typeof rain).toBe("boolean");
    expect(finish).toBe("stop");
    expect(tokens.length).toBeGreaterThan(10);
  }
  expect(node).toEqual(chromium);
});
