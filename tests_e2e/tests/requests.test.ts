// Requests that can't be served are refused by name before any work is done.

import { expect, test } from "../harness/fixtures.js";

const HI = [{ role: "user", content: "Hi" }];

const REFUSED: [what: string, request: Record<string, unknown>, param: string][] = [
  ["no messages", { messages: [] }, "messages"],
  ["messages that are no list", { messages: "Hi" }, "messages"],
  ["an unknown role", { messages: [{ role: "pirate", content: "Hi" }] }, "messages"],
  ["a negative max_tokens", { messages: HI, max_tokens: -1 }, "max_tokens"],
  ["a fractional max_tokens", { messages: HI, max_tokens: 1.5 }, "max_tokens"],
  ["an unknown parameter", { messages: HI, temprature: 1 }, "temprature"],
  ["a temperature that is too high", { messages: HI, temperature: 3 }, "temperature"],
  ["a temperature that is no number", { messages: HI, temperature: "hot" }, "temperature"],
  ["a top_p above 1", { messages: HI, top_p: 1.5 }, "top_p"],
  ["a negative top_k", { messages: HI, webbuild: { top_k: -1 } }, "webbuild"],
  ["a min_p above 1", { messages: HI, webbuild: { min_p: 2 } }, "webbuild"],
  ["too many top_logprobs", { messages: HI, logprobs: true, top_logprobs: 21 }, "top_logprobs"],
  ["top_logprobs without logprobs", { messages: HI, top_logprobs: 2 }, "top_logprobs"],
  ["a logit_bias beyond ±100", { messages: HI, logit_bias: { "1": 101 } }, "logit_bias"],
  ["stream_options without stream", { messages: HI, stream_options: {} }, "stream_options"],
];

for (const [what, request, param] of REFUSED) {
  test(`${what} is an InvalidRequestError about ${param}`, async ({ enginePage }) => {
    const outcome = await enginePage.evaluate(async (request) => {
      const submitsBefore = (await engine.stats()).submits;
      const create = engine.chat.completions.create as (request: unknown) => Promise<unknown>;
      const error = await create.call(engine.chat.completions, request).then(
        () => null,
        (error: InstanceType<typeof webbuild.InvalidRequestError>) => ({
          name: error.name,
          param: error.param,
          own: error instanceof webbuild.WebbuildError,
        }),
      );
      return { error, submits: (await engine.stats()).submits - submitsBefore };
    }, request);
    expect(outcome.error).toMatchObject({ name: "InvalidRequestError", own: true });
    expect(outcome.error?.param?.split(/[.[]/)[0]).toBe(param);
    expect(outcome.submits).toBe(0);
  });
}

test("a prompt longer than the context is a ContextLengthExceeded", async ({ enginePage }) => {
  const error = await enginePage.evaluate(async () => {
    const content = "seven ".repeat(2 * engine.info.contextLength);
    const asked = engine.chat.completions.create({ messages: [{ role: "user", content }] });
    return asked.then(
      () => null,
      ({ name, data }) => ({ name, data }),
    );
  });
  expect(error).toMatchObject({ name: "ContextLengthExceeded" });
  expect(error?.data.promptTokens).toBeGreaterThan(error?.data.contextLength);
});
