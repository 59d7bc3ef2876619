// One request in one form of the API, and what comes of it in a shape that all forms share.

/** How a request is made. */
export const FORMS = ["whole", "stream", "v1", "v1 stream"] as const;
export type Form = (typeof FORMS)[number];

/** What a host must agree on with the others: no ids, no times, no numbers that rounding can move. */
export interface Outcome {
  choices: {
    content: string;
    finish: string | null;
    tokens: string[][];
    /** Name and arguments of each call. */
    calls: [string, string][];
  }[];
  usage: { prompt: number; completion: number } | null;
  /** Over HTTP there are no classes: `name` is null there. */
  error: { name: string | null; param: string | null } | null;
}

export interface Asked {
  form: Form;
  /** Of a chat completion if there are `messages`, otherwise of a response. */
  params: Record<string, unknown>;
}

/**
 * Answers with the global `engine`, over HTTP's form with the global `v1`, a `fetch` for it. Runs in pages, so it names nothing
 * of this module.
 */
export async function answer({ form, params }: Asked): Promise<Outcome> {
  type Token = { token: string; top_logprobs: { token: string }[] };
  type Call = { index?: number; function: { name?: string; arguments?: string } };
  type Message = { content?: string | null; tool_calls?: Call[] };
  type Chat = {
    choices: {
      index: number;
      message?: Message;
      delta?: Message;
      finish_reason: string | null;
      logprobs?: { content: Token[] | null } | null;
    }[];
    usage?: { prompt_tokens: number; completion_tokens: number } | null;
  };
  type Item = {
    type: string;
    name?: string;
    arguments?: string;
    content?: { text: string; logprobs?: Token[] }[];
  };
  type Response = {
    status: string;
    output: Item[];
    usage: { input_tokens: number; output_tokens: number };
  };
  type Event = { type: string; response?: Response; delta?: string; item?: Item };
  type Create = { create(params: unknown): Promise<unknown> };
  type Scope = {
    engine: { chat: { completions: Create }; responses: Create };
    v1: (url: string, init: RequestInit) => Promise<globalThis.Response>;
  };
  const { engine, v1 } = globalThis as unknown as Scope;
  const isChat = "messages" in params;
  const stream = form.endsWith("stream");
  const request = {
    ...params,
    ...(stream ? { stream } : {}),
    ...(stream && isChat ? { stream_options: { include_usage: true } } : {}),
  };
  const outcome: Outcome = { choices: [], usage: null, error: null };
  const choiceOf = (index: number) => {
    outcome.choices[index] ??= { content: "", finish: null, tokens: [], calls: [] };
    return outcome.choices[index];
  };
  const names = ({ token, top_logprobs }: Token) => [
    token,
    ...top_logprobs.map((one) => one.token),
  ];
  const takeChat = ({ choices, usage }: Chat) => {
    for (const { index, message, delta, finish_reason, logprobs } of choices) {
      const choice = choiceOf(index);
      const said = message ?? delta;
      choice.content += said?.content ?? "";
      choice.finish ??= finish_reason;
      choice.tokens.push(...(logprobs?.content ?? []).map(names));
      said?.tool_calls?.forEach((call, i) => {
        const at = call.index ?? i;
        choice.calls[at] ??= ["", ""];
        choice.calls[at][0] += call.function.name ?? "";
        choice.calls[at][1] += call.function.arguments ?? "";
      });
    }
    if (usage) outcome.usage = { prompt: usage.prompt_tokens, completion: usage.completion_tokens };
  };
  const takeResponse = ({ status, output, usage }: Response, texts: boolean) => {
    const choice = choiceOf(0);
    choice.finish = status;
    for (const item of output) {
      for (const { text, logprobs = [] } of item.content ?? []) {
        if (texts) choice.content += text;
        choice.tokens.push(...logprobs.map(names));
      }
      if (texts && item.type === "function_call")
        choice.calls.push([item.name ?? "", item.arguments ?? ""]);
    }
    outcome.usage = { prompt: usage.input_tokens, completion: usage.output_tokens };
  };
  /** Texts and arguments from the pieces, the rest from the last event. */
  const takeEvent = ({ type, response, delta = "", item }: Event) => {
    const choice = choiceOf(0);
    const call = choice.calls.at(-1);
    if (type === "response.output_text.delta") choice.content += delta;
    else if (type === "response.output_item.added" && item?.type === "function_call")
      choice.calls.push([item.name ?? "", ""]);
    else if (type === "response.function_call_arguments.delta" && call) call[1] += delta;
    else if (/^response\.(completed|incomplete|failed)$/.test(type) && response)
      takeResponse(response, false);
  };
  const take = (body: unknown) => {
    if (isChat) takeChat(body as Chat);
    else if (stream) takeEvent(body as Event);
    else takeResponse(body as Response, true);
  };
  if (!form.startsWith("v1")) {
    try {
      const result = await (isChat ? engine.chat.completions : engine.responses).create(request);
      if (!stream) take(result);
      else for await (const part of result as AsyncIterable<unknown>) take(part);
    } catch (error) {
      const { name, data } = error as Error & { data?: { param?: string } };
      outcome.error = { name, param: data?.param ?? null };
    }
    return outcome;
  }
  const response = await v1(`http://page/v1/${isChat ? "chat/completions" : "responses"}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(request),
  });
  const text = await response.text();
  if (response.status !== 200) {
    outcome.error = { name: null, param: JSON.parse(text).error.param };
  } else if (!stream) {
    take(JSON.parse(text));
  } else {
    for (const line of text.split("\n")) {
      if (line.startsWith("data: {")) take(JSON.parse(line.slice("data: ".length)));
    }
  }
  return outcome;
}
