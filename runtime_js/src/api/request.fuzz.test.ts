/** Random requests: each is answered, or refused by a named error; none hangs, and nothing is left behind. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { Engine, InvalidRequestError, WebbuildError } from "../index.js";
import { dawn } from "../testing/host.js";
import { tinyPack } from "../testing/tiny_pack.js";
import { parseCompletionRequest } from "./completion_request.js";
import { CHAT_PARAMETERS, EXTENSIONS, TEXT_PARAMETERS } from "./parameters.js";
import { parseRequest } from "./request.js";

const REQUESTS = 5_000; // of each kind
const ANSWERED = 150;

const small = fc.constantFrom<unknown>(0, 1, 2, 3, 5, -1, 0.5, 21, 1e9, Number.NaN, "", "a", true);
const anything = fc.oneof(
  { weight: 3, arbitrary: small },
  { weight: 2, arbitrary: fc.anything({ maxDepth: 2, maxKeys: 4 }) },
  { weight: 1, arbitrary: fc.constantFrom<unknown>(null, undefined, false, {}, [], ["a"], [65]) },
);
const role = fc.constantFrom("system", "developer", "user", "assistant", "tool", "function");
const part = fc.oneof(fc.record({ type: fc.constant("text"), text: fc.string() }), anything);
const message = fc.record(
  {
    role: fc.oneof({ weight: 9, arbitrary: role }, anything),
    content: fc.oneof(
      { weight: 5, arbitrary: fc.string({ maxLength: 9 }) },
      fc.array(part),
      anything,
    ),
    tool_call_id: fc.oneof(fc.constant("c"), anything),
    tool_calls: fc.array(fc.record({ id: anything, function: anything }), { maxLength: 2 }),
    name: anything,
  },
  { requiredKeys: ["role", "content"] },
);

/** Values of which many are right: else nothing behind the first check would be tried. */
const likely: Record<string, fc.Arbitrary<unknown>> = {
  messages: fc.array(message, { minLength: 1, maxLength: 3 }),
  prompt: fc.oneof(
    fc.string({ maxLength: 9 }),
    fc.array(fc.string({ maxLength: 5 }), { maxLength: 3 }),
    fc.array(fc.nat(300), { maxLength: 5 }),
  ),
  stream: fc.boolean(),
  stream_options: fc.record({ include_usage: fc.boolean() }),
  n: fc.constantFrom(1, 2, 3),
  max_tokens: fc.constantFrom(1, 2, 7),
  max_completion_tokens: fc.constantFrom(1, 2, 7),
  temperature: fc.constantFrom(0, 0.5, 2),
  top_p: fc.constantFrom(0, 0.5, 1),
  seed: fc.constantFrom(0, -7, 2 ** 40),
  stop: fc.oneof(fc.string({ maxLength: 2 }), fc.array(fc.string({ maxLength: 2 }))),
  logit_bias: fc.dictionary(fc.constantFrom("0", "65", "259", "260", "x"), fc.integer()),
  logprobs: fc.constantFrom<unknown>(true, false, 0, 3),
  top_logprobs: fc.constantFrom(0, 3, 20),
  frequency_penalty: fc.constantFrom(-2, 0, 1.5),
  presence_penalty: fc.constantFrom(-2, 0, 1.5),
  reasoning_effort: fc.constantFrom("none", "low"),
  response_format: fc.record({ type: fc.constantFrom("text", "json_object", "xml") }),
  webbuild: fc.record(
    Object.fromEntries([
      ...EXTENSIONS.map((name) => [name, anything] as const),
      ["top_k", fc.constantFrom(0, 1, 5)],
      ["ignore_eos", fc.boolean()],
      ["context", fc.constantFrom({ overflow: "slide" }, { overflow: "error" })],
      ["speculation", fc.constantFrom<unknown>("auto", "off", { tokens: 3 })],
    ]),
    { requiredKeys: [] },
  ),
};

function requests(table: object, always: string, rightOf8: number) {
  const keys = [...Object.keys(table), "webbuild"];
  const value = (name: string) => {
    const right = likely[name];
    if (!right) return anything;
    return fc.oneof(
      { weight: rightOf8, arbitrary: right },
      { weight: 8 - rightOf8, arbitrary: anything },
    );
  };
  const fields = Object.fromEntries(keys.map((name) => [name, value(name)]));
  // A few keys at a time, as the first that is wrong is all that is told.
  return fc
    .tuple(fc.subarray(keys, { maxLength: 5 }), fc.record(fields), fc.boolean())
    .map(([chosen, all, more]) => {
      const names = [always, ...chosen, ...(more ? ["max_tokens"] : [])];
      return Object.fromEntries(names.map((name) => [name, all[name]]));
    });
}

const chats = (rightOf8: number) => requests(CHAT_PARAMETERS, "messages", rightOf8);
const texts = (rightOf8: number) => requests(TEXT_PARAMETERS, "prompt", rightOf8);

test("10,000 random requests are parsed, or refused with a parameter's name", () => {
  let parsed = 0;
  let refused = 0;
  const property = (parse: (request: unknown) => unknown) => (request: unknown) => {
    try {
      parse(request);
      parsed++;
    } catch (error) {
      if (!(error instanceof InvalidRequestError)) throw error;
      if (!error.param || !error.message.includes(error.param)) throw error;
      refused++;
    }
  };
  const runs = { numRuns: REQUESTS };
  fc.assert(fc.property(chats(6), property(parseRequest)), runs);
  fc.assert(fc.property(texts(6), property(parseCompletionRequest)), runs);
  expect(parsed + refused).toBe(2 * REQUESTS);
  expect(Math.min(parsed, refused)).toBeGreaterThan(REQUESTS / 5);
});

test("300 random requests are answered, or refused by a named error, and leave nothing behind", async () => {
  const folder = mkdtempSync(join(tmpdir(), "pack-"));
  for (const [name, bytes] of tinyPack()) writeFileSync(join(folder, name), bytes);
  const engine = await Engine.load(folder, { worker: false, gpu: await dawn() });
  let answered = 0;
  let refused = 0;
  const property = (create: (request: never) => Promise<unknown>) => async (request: unknown) => {
    try {
      const answer = await create(request as never);
      if (Symbol.asyncIterator in (answer as object)) {
        let last: unknown;
        for await (const chunk of answer as AsyncIterable<unknown>) last = chunk;
        expect(last).toBeDefined();
      } else {
        expect(answer).toMatchObject({ usage: { total_tokens: expect.any(Number) } });
      }
      answered++;
    } catch (error) {
      if (!(error instanceof WebbuildError)) throw error;
      refused++;
    }
  };
  try {
    const { chat, completions } = engine;
    const chatting = property((request) => chat.completions.create(request));
    const writing = property((request) => completions.create(request));
    await fc.assert(fc.asyncProperty(chats(8), chatting), { numRuns: ANSWERED });
    await fc.assert(fc.asyncProperty(texts(8), writing), { numRuns: ANSWERED });
    expect(answered + refused).toBe(2 * ANSWERED);
    expect(Math.min(answered, refused)).toBeGreaterThan(ANSWERED / 5);
    const { running, waiting, pages } = await engine.stats();
    expect({ running, waiting, held: pages.running }).toEqual({ running: 0, waiting: 0, held: 0 });
  } finally {
    await engine.unload();
    rmSync(folder, { recursive: true });
  }
}, 60_000);
