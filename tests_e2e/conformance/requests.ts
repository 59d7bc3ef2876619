// What every host and every form of the API must answer alike: requests as plain data, as they cross HTTP.

export interface ConformanceRequest {
  /** `group/number`: names the request in reports. */
  id: string;
  group: string;
  /** What it is there for. */
  purpose: string;
  /** Of `chat.completions.create`; the runner adds `stream`. */
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
];

const InvalidRequestError = "InvalidRequestError";

const REFUSED: [purpose: string, changes: Params, param: string, name?: string][] = [
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
    params: plain(about("Hi", changes)),
    refused: { name, param },
  })),
];
