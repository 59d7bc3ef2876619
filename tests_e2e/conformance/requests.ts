// What every host and every form of the API must answer alike: requests as plain data, as they cross HTTP.

export interface ConformanceRequest {
  /** `group/number`: names the request in reports. */
  id: string;
  group: string;
  /** What it is there for. */
  purpose: string;
  /** Of `chat.completions.create`, without messages of `responses.create`; the runner adds `stream`. */
  params: Record<string, unknown>;
  /** It is refused: the class, and the parameter that the error names. */
  refused?: { name: string; param: string | null };
}

type Params = Record<string, unknown>;

const user = (content: unknown) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });
const system = (content: string) => ({ role: "system", content });
const about = (content: string, params: Params = {}): Params => ({
  messages: [user(content)],
  temperature: 0,
  max_tokens: 10,
  ...params,
});
const sampled = (params: Params): Params =>
  about("Tell me a story.", { temperature: 1, seed: 7, max_tokens: 12, ...params });

const tool = (name: string, description: string, key: string) => ({
  type: "function",
  function: {
    name,
    description,
    parameters: { type: "object", properties: { [key]: { type: "string" } }, required: [key] },
  },
});
const TOOLS = [
  tool("get_weather", "Get the weather in a city", "city"),
  tool("search", "Search the web", "query"),
];
const IN_MIAMI = "What is the weather in Miami?";
const IN_BOTH = "What is the weather in Miami and in Rome?";
const withTools = (params: Params = {}, content = IN_MIAMI): Params =>
  about(content, { tools: TOOLS, max_tokens: 40, ...params });
const named = (name: string) => ({ type: "function", function: { name } });

const json = (schema: Params) => ({
  type: "json_schema",
  json_schema: { name: "answer", schema, strict: true },
});
const CITY = {
  type: "object",
  properties: { city: { enum: ["Paris", "Oslo"] }, degrees: { type: "integer", maximum: 40 } },
  required: ["city", "degrees"],
  additionalProperties: false,
};
const formatted = (response_format: Params, params: Params = {}): Params =>
  about("Name a city.", { response_format, max_tokens: 24, ...params });

const respond = (input: unknown, params: Params = {}): Params => ({
  input,
  temperature: 0,
  max_output_tokens: 12,
  ...params,
});

const QUESTIONS = [
  "What is 17 + 25?",
  "What is 3 times 4?",
  "Tell me a story.",
  "Hello!",
  "Name a colour.",
  "What is 100 - 58?",
  "Count to five.",
  "Who are you?",
  "What is the opposite of hot?",
  "Spell cat.",
  "Is 7 larger than 3?",
  "What comes after Monday?",
];

const UNICODE = [
  "Grüße aus Köln",
  "日本語で答えて",
  "Привет",
  "مرحبا",
  "🙂👩‍👩‍👧‍👦🇩🇪",
  "e\u0301 and é",
  "\u200bzero width",
  "tabs\tand\nnew lines\r\n",
  "𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
  "<|im_end|> is no end here",
  "\ud83d alone",
  "   spaces   ",
];

/** Each pair of group and purpose, with the requests that stand for it. */
const TABLE: [group: string, purpose: string, requests: Params[]][] = [
  ["greedy", "one question, the likeliest tokens", QUESTIONS.map((content) => about(content))],
  [
    "unicode",
    "characters of several bytes, and what looks like control",
    UNICODE.map((c) => about(c)),
  ],
  [
    "length",
    "so many tokens at most, by either name",
    [1, 2, 3, 5, 8, 13].flatMap((most) => [
      about("Tell me a story.", { max_tokens: most }),
      about("Count to five.", { max_tokens: undefined, max_completion_tokens: most }),
    ]),
  ],
  [
    "turns",
    "conversations, with and without a system message",
    [1, 2, 3, 4].flatMap((turns) => {
      const before = QUESTIONS.slice(0, turns).flatMap((q) => [user(q), assistant("Yes.")]);
      const messages = [...before, user("What is 2 + 2?")];
      return [
        about("", { messages }),
        about("", { messages: [system("Answer briefly."), ...messages] }),
      ];
    }),
  ],
  [
    "parts",
    "content as a list of text parts",
    [["Hello"], ["What is ", "1 + 1?"], ["a", "b", "c"]].map((texts) =>
      about("", { messages: [user(texts.map((text) => ({ type: "text", text })))] }),
    ),
  ],
  [
    "sampled",
    "draws depend on the seed and the settings alone",
    [0, 1, 2 ** 31, 2 ** 53 - 1].flatMap((seed) => [
      sampled({ seed }),
      sampled({ seed, temperature: 0.6 }),
      sampled({ seed, temperature: 2 }),
      sampled({ seed, top_p: 0.8 }),
      sampled({ seed, webbuild: { top_k: 5 } }),
      sampled({ seed, webbuild: { min_p: 0.1 } }),
      sampled({ seed, top_p: 0.9, webbuild: { top_k: 20, min_p: 0.02 } }),
    ]),
  ],
  [
    "penalties",
    "what was said becomes less likely",
    [-2, -0.5, 0.5, 2].flatMap((penalty) => [
      about("Tell me a story.", { frequency_penalty: penalty }),
      about("Tell me a story.", { presence_penalty: penalty }),
      sampled({ frequency_penalty: penalty, presence_penalty: penalty }),
    ]),
  ],
  [
    "logit_bias",
    "tokens that are wanted or forbidden",
    [{ "300": 100 }, { "300": 5, "301": 5 }, { "2": -100 }, { "100": -100, "101": -1 }, {}].map(
      (logit_bias) => about("Hello!", { logit_bias }),
    ),
  ],
  [
    "logprobs",
    "the tokens, and the likeliest ones beside them",
    [undefined, 0, 1, 5, 20].flatMap((top_logprobs) => [
      about("What is 17 + 25?", { logprobs: true, top_logprobs }),
      about("日本", { logprobs: true, top_logprobs, max_tokens: 6 }),
    ]),
  ],
  [
    "stop",
    "texts at which an answer ends",
    [" ", ".", ["a", "e"], ["\n"], "never to be seen", ["17", "42"], "é"].map((stop) =>
      about("What is 17 + 25?", { stop }),
    ),
  ],
  [
    "choices",
    "several answers to one prompt",
    [1, 2, 3].flatMap((n) => [about("Hello!", { n }), sampled({ n, max_tokens: 6 })]),
  ],
  [
    "long",
    "prompts of several chunks and pages",
    [15, 16, 17, 120, 600].map((words) => about("seven ".repeat(words), { max_tokens: 4 })),
  ],
  [
    "extensions",
    "what is not OpenAI's, under `webbuild`",
    [
      about("Hello!", { webbuild: {} }),
      about("Hello!", { webbuild: { priority: 3 } }),
      about("Tell me a story.", { webbuild: { speculation: { tokens: 3, from: "prompt" } } }),
      about("What is 17 + 25?", { webbuild: { ignore_eos: true }, max_tokens: 24 }),
      about("Hello!", { webbuild: { context: { overflow: "slide" } } }),
    ],
  ],
  [
    "labels",
    "names that change no answer",
    [
      { model: "any" },
      { user: "me" },
      { metadata: { a: "b" } },
      { response_format: { type: "text" } },
    ].map((params) => about("Hello!", params)),
  ],
  [
    "tools",
    "calls that the model decides on, and calls that it must make",
    [
      withTools(),
      withTools({}, "Hello!"),
      withTools({ tool_choice: "none" }),
      withTools({ tool_choice: "required" }, "Hello!"),
      withTools({ tool_choice: named("search") }),
      withTools({
        tool_choice: {
          type: "allowed_tools",
          allowed_tools: { mode: "required", tools: [named("search")] },
        },
      }),
      withTools({ webbuild: { constrain_tools: false } }),
      withTools({ tool_choice: "required", temperature: 1, seed: 5 }),
      withTools({
        messages: [
          user(IN_MIAMI),
          {
            role: "assistant",
            content: null,
            tool_calls: [
              {
                id: "call_1",
                type: "function",
                function: { name: "get_weather", arguments: '{"city": "Miami"}' },
              },
            ],
          },
          { role: "tool", tool_call_id: "call_1", content: "sunny" },
        ],
      }),
    ],
  ],
  [
    "parallel",
    "several calls, where they are allowed",
    [true, false].flatMap((parallel_tool_calls) => [
      withTools({ parallel_tool_calls, max_tokens: 80 }, IN_BOTH),
      withTools({ parallel_tool_calls, tool_choice: "required", max_tokens: 80 }, IN_BOTH),
    ]),
  ],
  [
    "format",
    "answers that must match",
    [
      formatted({ type: "json_object" }),
      formatted(json(CITY)),
      formatted(json(CITY), { temperature: 1, seed: 3 }),
      formatted(json(CITY), { webbuild: { jump_forward: false } }),
      formatted(json(CITY), { max_tokens: 4 }),
      formatted(json(CITY), { logprobs: true, top_logprobs: 2 }),
      formatted(json({ type: "array", items: { type: "boolean" }, minItems: 2, maxItems: 3 })),
      formatted(json({ anyOf: [{ const: "yes" }, { type: "null" }] }), { n: 2 }),
      formatted({ type: "regex", pattern: "(Paris|Oslo), [0-9]{2} degrees" }),
      formatted({ type: "grammar", grammar: 'root ::= ("yes" | "no") "."' }),
      formatted({
        type: "structural_tag",
        format: {
          type: "tag",
          begin: "<city>",
          content: { type: "json_schema", json_schema: { enum: ["Paris", "Oslo"] } },
          end: "</city>",
        },
      }),
      about("Name a city.", { webbuild: { grammar: { type: "regex", pattern: "[A-Z][a-z]{3}" } } }),
    ],
  ],
  [
    "responses",
    "the Responses API: texts, items, calls, formats",
    [
      respond("What is 17 + 25?"),
      respond("Tell me a story.", { top_p: 0.9, webbuild: { repetition_penalty: 1.2 } }),
      respond("What is 2 + 2?", { instructions: "Answer briefly." }),
      respond([user("Hello!"), assistant("Hello."), user("Who are you?")]),
      respond("What is 17 + 25?", {
        include: ["message.output_text.logprobs"],
        top_logprobs: 2,
      }),
      respond(IN_MIAMI, {
        tools: TOOLS.map(({ type, function: f }) => ({ type, ...f, strict: false })),
        tool_choice: "required",
        max_output_tokens: 40,
      }),
      respond("Name a city.", {
        text: { format: { type: "json_schema", name: "city", schema: CITY, strict: true } },
        max_output_tokens: 40,
      }),
      respond("Count to five.", { truncation: "auto", store: false, max_output_tokens: 3 }),
    ],
  ],
];

const InvalidRequestError = "InvalidRequestError";

/** `changes`: of a chat, or, with an input, of a response. */
const REFUSED: [purpose: string, changes: Params, param: string | null, name?: string][] = [
  ["no messages", { messages: [] }, "messages"],
  ["messages that are no list", { messages: "Hi" }, "messages"],
  ["an unknown role", { messages: [{ role: "pirate", content: "Hi" }] }, "messages[0].role"],
  ["a message that is none", { messages: [7] }, "messages[0]"],
  ["an unknown parameter", { temprature: 1 }, "temprature"],
  ["an extension at the top", { top_k: 3 }, "top_k"],
  ["an unknown extension", { webbuild: { warmth: 1 } }, "webbuild.warmth"],
  ["extensions that are no object", { webbuild: 7 }, "webbuild"],
  ["a negative max_tokens", { max_tokens: -1 }, "max_tokens"],
  ["a max_tokens of nothing", { max_tokens: 0 }, "max_tokens"],
  ["a fractional max_tokens", { max_tokens: 1.5 }, "max_tokens"],
  ["two limits", { max_tokens: 3, max_completion_tokens: 4 }, "max_tokens"],
  ["a temperature that is too high", { temperature: 3 }, "temperature"],
  ["a negative temperature", { temperature: -0.1 }, "temperature"],
  ["a temperature that is no number", { temperature: "hot" }, "temperature"],
  ["a top_p above 1", { top_p: 1.5 }, "top_p"],
  ["a negative top_p", { top_p: -1 }, "top_p"],
  ["a negative top_k", { webbuild: { top_k: -1 } }, "webbuild.top_k"],
  ["a fractional top_k", { webbuild: { top_k: 1.5 } }, "webbuild.top_k"],
  ["a min_p above 1", { webbuild: { min_p: 2 } }, "webbuild.min_p"],
  ["a priority out of range", { webbuild: { priority: 101 } }, "webbuild.priority"],
  ["an unknown speculation", { webbuild: { speculation: "on" } }, "webbuild.speculation"],
  [
    "an unknown overflow",
    { webbuild: { context: { overflow: "x" } } },
    "webbuild.context.overflow",
  ],
  ["a frequency_penalty above 2", { frequency_penalty: 2.1 }, "frequency_penalty"],
  ["a presence_penalty below -2", { presence_penalty: -2.1 }, "presence_penalty"],
  ["a fractional seed", { seed: 0.5 }, "seed"],
  ["an empty stop", { stop: "" }, "stop"],
  ["a stop that is no text", { stop: [1] }, "stop"],
  ["a logit_bias beyond 100", { logit_bias: { "1": 101 } }, "logit_bias"],
  ["a logit_bias of no token", { logit_bias: { x: 1 } }, "logit_bias"],
  ["a logit_bias beyond the vocabulary", { logit_bias: { "999999": 1 } }, "logit_bias"],
  ["too many top_logprobs", { logprobs: true, top_logprobs: 21 }, "top_logprobs"],
  ["top_logprobs without logprobs", { top_logprobs: 2 }, "top_logprobs"],
  ["no choices", { n: 0 }, "n"],
  ["too many choices", { n: 129 }, "n"],
  ["an old name of tools", { functions: [] }, "functions"],
  ["an unknown reasoning_effort", { reasoning_effort: "much" }, "reasoning_effort"],
  ["a response_format that is none", { response_format: { type: "xml" } }, "response_format"],
  [
    "a prompt longer than the context",
    { messages: [user("seven ".repeat(4100))] },
    "messages",
    "ContextLengthExceeded",
  ],
  ["a tool that is none", { tools: [{ type: "custom" }] }, "tools[0].type"],
  ["a choice of no tool", { tools: TOOLS, tool_choice: named("fly") }, "tool_choice.function.name"],
  [
    "a schema that no answer can be held to",
    { response_format: json({ not: {} }) },
    null,
    "GrammarError",
  ],
  [
    "a pattern that is none",
    { response_format: { type: "regex", pattern: "(" } },
    null,
    "GrammarError",
  ],
  ["a response of no input", { input: 7 }, "input"],
  ["a response's limit of nothing", { input: "Hi", max_output_tokens: 0 }, "max_output_tokens"],
  ["a response's unknown tool", { input: "Hi", tools: [{ type: "web_search" }] }, "tools[0].type"],
];

/** Drops what is undefined, which no JSON has. */
const plain = (params: Params) => JSON.parse(JSON.stringify(params)) as Params;

export const REQUESTS: ConformanceRequest[] = [
  ...TABLE.flatMap(([group, purpose, requests]) =>
    requests.map((params, i) => ({
      id: `${group}/${i + 1}`,
      group,
      purpose,
      params: plain(params),
    })),
  ),
  ...REFUSED.map(([purpose, changes, param, name = InvalidRequestError], i) => ({
    id: `refused/${i + 1}`,
    group: "refused",
    purpose,
    params: plain("input" in changes ? changes : about("Hi", changes)),
    refused: { name, param },
  })),
];
