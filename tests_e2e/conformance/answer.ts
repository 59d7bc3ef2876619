// One request in one form of the API, and what comes of it in a shape that all forms share.

/** How a request is made. */
export const FORMS = ["whole", "stream", "v1", "v1 stream"] as const;
export type Form = (typeof FORMS)[number];

/** What a host must agree on with the others: no ids, no times, no numbers that rounding can move. */
export interface Outcome {
  choices: { content: string; finish: string | null; tokens: string[][] }[];
  usage: { prompt: number; completion: number } | null;
  /** Over HTTP there are no classes: `name` is null there. */
  error: { name: string | null; param: string | null } | null;
}

export interface Asked {
  form: Form;
  params: Record<string, unknown>;
}

/**
 * Answers with the global `engine`, over HTTP's form with the global `v1`, a `fetch` for it. Runs in pages, so it names nothing
 * of this module.
 */
export async function answer({ form, params }: Asked): Promise<Outcome> {
  type Part = {
    index: number;
    message?: { content: string | null };
    delta?: { content?: string | null };
    finish_reason: string | null;
    logprobs?: { content: { token: string; top_logprobs: { token: string }[] }[] | null } | null;
  };
  type Usage = { prompt_tokens: number; completion_tokens: number };
  type Body = { choices: Part[]; usage?: Usage | null };
  type Scope = {
    engine: { chat: { completions: { create(params: unknown): Promise<unknown> } } };
    v1: (url: string, init: RequestInit) => Promise<Response>;
  };
  const { engine, v1 } = globalThis as unknown as Scope;
  const stream = form.endsWith("stream");
  const request = stream
    ? { ...params, stream, stream_options: { include_usage: true } }
    : { ...params };
  const outcome: Outcome = { choices: [], usage: null, error: null };
  const take = ({ choices, usage }: Body) => {
    for (const { index, message, delta, finish_reason, logprobs } of choices) {
      outcome.choices[index] ??= { content: "", finish: null, tokens: [] };
      const choice = outcome.choices[index];
      choice.content += (message ?? delta)?.content ?? "";
      choice.finish ??= finish_reason;
      for (const { token, top_logprobs } of logprobs?.content ?? []) {
        choice.tokens.push([token, ...top_logprobs.map((one) => one.token)]);
      }
    }
    if (usage) outcome.usage = { prompt: usage.prompt_tokens, completion: usage.completion_tokens };
  };
  if (!form.startsWith("v1")) {
    try {
      const result = await engine.chat.completions.create(request);
      if (!stream) take(result as Body);
      else for await (const chunk of result as AsyncIterable<Body>) take(chunk);
    } catch (error) {
      const { name, data } = error as Error & { data?: { param?: string } };
      outcome.error = { name, param: data?.param ?? null };
    }
    return outcome;
  }
  const response = await v1("http://page/v1/chat/completions", {
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
