import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { InvalidRequestError } from "../errors.js";
import { parseRequest } from "./request.js";

const messages = [{ role: "user", content: "hi" }];

describe("a chat completion request", () => {
  test("all parameters in the engine's terms", () => {
    const parsed = parseRequest({
      messages: [
        { role: "developer", content: "be brief" },
        {
          role: "user",
          content: [
            { type: "text", text: "a" },
            { type: "text", text: "b" },
          ],
          name: "kim",
        },
        {
          role: "assistant",
          content: null,
          tool_calls: [
            { id: "c1", type: "function", function: { name: "f", arguments: '{"x":1}' } },
            { id: "c2", type: "function", function: { name: "g", arguments: "" } },
          ],
        },
        { role: "tool", content: "2", tool_call_id: "c1", name: "f" },
      ],
      model: "x",
      user: "u",
      metadata: { a: "b" },
      store: false,
      stream: true,
      stream_options: { include_usage: true },
      max_completion_tokens: 9,
      temperature: 0.5,
      top_p: 0.9,
      seed: -3,
      stop: "END",
      frequency_penalty: 1,
      presence_penalty: -1,
      logit_bias: { "5": -100 },
      logprobs: true,
      top_logprobs: 3,
      n: 1,
      webbuild: {
        top_k: 40,
        min_p: 0.1,
        priority: -2,
        speculation: { tokens: 4, from: "draft" },
        context: { overflow: "slide" },
      },
      response_format: { type: "text" },
    });
    expect(parsed).toEqual({
      stream: true,
      includeUsage: true,
      choices: [
        {
          messages: [
            { role: "system", content: "be brief" },
            { role: "user", content: "ab", name: "kim" },
            {
              role: "assistant",
              content: null,
              tool_calls: [
                { id: "c1", type: "function", function: { name: "f", arguments: { x: 1 } } },
                { id: "c2", type: "function", function: { name: "g", arguments: {} } },
              ],
            },
            { role: "tool", content: "2", tool_call_id: "c1", name: "f" },
          ],
          maxTokens: 9,
          stop: ["END"],
          priority: -2,
          streams: true,
          speculation: { tokens: 4, from: "draft" },
          overflow: "slide",
          sampling: {
            temperature: 0.5,
            topP: 0.9,
            topK: 40,
            minP: 0.1,
            seed: -3,
            frequencyPenalty: 1,
            presencePenalty: -1,
            logitBias: [[5, -100]],
            logprobs: 3,
          },
        },
      ],
    });
  });

  test("n choices are n requests, of seeds one after another", () => {
    const seeds = (seed?: number) =>
      parseRequest({ messages, n: 3, seed }).choices.map(({ sampling }) => sampling.seed);
    expect(seeds(5)).toEqual([5, 6, 7]);
    expect(seeds()).toEqual([undefined, undefined, undefined]);
    const [first, second] = parseRequest({ messages, n: 2, max_tokens: 4 }).choices;
    expect(second).toEqual(first);
  });

  test("undefined is absent, wherever it stands", () => {
    const none = undefined;
    const part = { type: "text", text: "hi", cache_control: none };
    const schema = { name: "s", schema: {}, other: none };
    const given = {
      messages: [{ role: "user", content: [part], other: none }],
      stream: true,
      stream_options: { include_usage: true, other: none },
      response_format: { type: "json_schema", json_schema: schema, other: none },
      webbuild: { context: { overflow: "error", other: none }, other: none },
      other: none,
    };
    expect(parseRequest(given)).toEqual(parseRequest(JSON.parse(JSON.stringify(given))));
  });

  test("null is absent, as in OpenAI's API", () => {
    const bare = parseRequest({ messages });
    const nulls = {
      temperature: null,
      max_tokens: null,
      stop: null,
      seed: null,
      n: null,
      stream: null,
      logprobs: null,
    };
    expect(parseRequest({ messages, ...nulls })).toEqual(bare);
    expect(bare.choices).toMatchObject([
      { maxTokens: null, stop: [], sampling: { logprobs: null } },
    ]);
  });

  const bad: [object, string][] = [
    [{ messages: [] }, "messages"],
    [{ messages: undefined }, "messages"],
    [{ messages: "hi" }, "messages"],
    [{ messages: [null] }, "messages[0]"],
    [{ messages: [{ role: "robot", content: "" }] }, "messages[0].role"],
    [{ messages: [{ role: "user" }] }, "messages[0].content"],
    [{ messages: [{ role: "user", content: 5 }] }, "messages[0].content"],
    [
      { messages: [{ role: "user", content: [{ type: "image_url", image_url: {} }] }] },
      "messages[0].content[0]",
    ],
    [{ messages: [{ role: "user", content: [{ type: "text" }] }] }, "messages[0].content[0].text"],
    [{ messages: [{ role: "assistant", content: null }] }, "messages[0].content"],
    [{ messages: [{ role: "assistant", content: null, refusal: 5 }] }, "messages[0].refusal"],
    [{ messages: [{ role: "user", content: "", tool_calls: [{}] }] }, "messages[0].tool_calls"],
    [{ messages: [{ role: "user", content: "", mood: "good" }] }, "messages[0].mood"],
    [
      { messages: [{ role: "user", content: [{ type: "refusal", refusal: "" }] }] },
      "messages[0].content[0]",
    ],
    [
      { messages: [{ role: "user", content: [{ type: "text", text: "", cache: {} }] }] },
      "messages[0].content[0].cache",
    ],
    [{ messages: [{ role: "tool", content: "x" }] }, "messages[0].tool_call_id"],
    [{ messages: [{ role: "assistant", tool_calls: [{ id: "a" }] }] }, "messages[0].tool_calls[0]"],
    [
      {
        messages: [
          { role: "assistant", tool_calls: [{ id: "a", function: { name: "f", arguments: "{" } }] },
        ],
      },
      "messages[0].tool_calls[0].function.arguments",
    ],
    [{ max_tokens: -1 }, "max_tokens"],
    [{ max_tokens: 0 }, "max_tokens"],
    [{ max_tokens: 1.5 }, "max_tokens"],
    [{ max_completion_tokens: "5" }, "max_completion_tokens"],
    [{ max_tokens: 1, max_completion_tokens: 2 }, "max_tokens"],
    [{ temperature: -0.1 }, "temperature"],
    [{ temperature: { toString: false } }, "temperature"],
    [{ temperature: [Object.create(null)] }, "temperature"],
    [{ temperature: Number.NaN }, "temperature"],
    [{ temperature: "hot" }, "temperature"],
    [{ top_p: 1.1 }, "top_p"],
    [{ webbuild: { top_k: -1 } }, "webbuild.top_k"],
    [{ webbuild: { min_p: 2 } }, "webbuild.min_p"],
    [{ seed: 0.5 }, "seed"],
    [{ stop: "" }, "stop"],
    [{ stop: [1] }, "stop"],
    [{ frequency_penalty: 3 }, "frequency_penalty"],
    [{ presence_penalty: -3 }, "presence_penalty"],
    [{ logit_bias: { a: 1 } }, "logit_bias"],
    [{ logit_bias: { "1": 101 } }, "logit_bias"],
    [{ logit_bias: [] }, "logit_bias"],
    [{ logprobs: 1 }, "logprobs"],
    [{ top_logprobs: 1 }, "top_logprobs"],
    [{ logprobs: true, top_logprobs: 21 }, "top_logprobs"],
    [{ n: 0 }, "n"],
    [{ n: 129 }, "n"],
    [{ webbuild: { priority: "high" } }, "webbuild.priority"],
    [{ webbuild: { priority: 101 } }, "webbuild.priority"],
    [{ webbuild: { speculation: "on" } }, "webbuild.speculation"],
    [{ webbuild: { speculation: { tokens: 16 } } }, "webbuild.speculation.tokens"],
    [{ webbuild: { speculation: { depth: 2 } } }, "webbuild.speculation.depth"],
    [{ webbuild: { speculation: { tokens: 2, from: "text" } } }, "webbuild.speculation.from"],
    [{ stream: "yes" }, "stream"],
    [{ stream_options: {} }, "stream_options"],
    [{ stream: true, stream_options: { x: 1 } }, "stream_options.x"],
    [
      { stream: true, stream_options: { include_obfuscation: true } },
      "stream_options.include_obfuscation",
    ],
    [{ stream: true, stream_options: { include_usage: 1 } }, "stream_options.include_usage"],
    [{ webbuild: { repetition_penalty: 0 } }, "webbuild.repetition_penalty"],
    [{ webbuild: { ignore_eos: "yes" } }, "webbuild.ignore_eos"],
    [{ webbuild: { template: [] } }, "webbuild.template"],
    [
      { reasoning_effort: "low", webbuild: { template: { reasoning_effort: "low" } } },
      "reasoning_effort",
    ],
    [{ tools: [] }, "tools"],
    [{ max_token: 5 }, "max_token"],
  ];
  test.each(bad)("%j is refused, naming %s", (change, param) => {
    const request = { messages, ...change };
    expect(() => parseRequest(request)).toThrow(InvalidRequestError);
    try {
      parseRequest(request);
    } catch (error) {
      expect((error as InvalidRequestError).param).toBe(param);
      expect((error as Error).message.startsWith(param)).toBe(true);
    }
  });

  test("anything at all is parsed or refused by name", () => {
    const keys = [
      "messages",
      "stop",
      "temperature",
      "logit_bias",
      "stream_options",
      "stream",
      "top_k",
      "zzz",
    ];
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...keys), fc.anything()), (request) => {
        try {
          parseRequest(request);
        } catch (error) {
          expect(error).toBeInstanceOf(InvalidRequestError);
        }
      }),
      { numRuns: 2000 },
    );
    for (const nothing of [null, undefined, 5, "x", []]) {
      expect(() => parseRequest(nothing)).toThrow(InvalidRequestError);
    }
  });
});
