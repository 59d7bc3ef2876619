/** An engine whose answers are written beforehand, behind the public API and the protocol: what it is asked is kept. */
import { Engine } from "../api/engine.js";
import type { Delta, GenerateRequest, PromptRequest } from "../engine/request.js";
import { portLink } from "../peer/link.js";
import { dispatch, type Handlers } from "../worker/dispatch.js";

export interface Line {
  text?: string;
  reasoning?: string;
  /** Name, and arguments as JSON. */
  calls?: [name: string, input: string][];
  finish?: "length";
}

export interface Scripted {
  engine: Engine;
  /** Requests that had a line; those for one token have none. */
  asked: GenerateRequest[];
  /** Of one token. */
  warmed: GenerateRequest[];
}

export interface Script {
  lines: (Line | Error)[];
  contextLength?: number;
  /** Of countTokens and of requests for one token, instead. */
  refuses?: (request: PromptRequest) => Error | undefined;
}

/** A token for each letter, and four for a message. */
export function countOf({ messages, tools }: PromptRequest): number {
  if (typeof messages === "string" || !Array.isArray(messages)) throw new Error("no messages");
  const texts = messages.map((message) => {
    if (typeof message === "number") return "";
    return `${message.content ?? ""}${message.tool_calls ? JSON.stringify(message.tool_calls) : ""}`;
  });
  const told = tools ? JSON.stringify(tools).length : 0;
  return told + texts.reduce((sum, text) => sum + text.length + 4, 0);
}

export async function scriptedEngine({
  lines,
  contextLength = 4096,
  refuses = () => undefined,
}: Script): Promise<Scripted> {
  const asked: GenerateRequest[] = [];
  const warmed: GenerateRequest[] = [];
  const allow = (request: PromptRequest) => {
    const error = refuses(request);
    if (error) throw error;
  };
  const handlers: Partial<Handlers> = {
    load: () => ({ id: "scripted", model: { name: "scripted" }, contextLength }) as never,
    countTokens: (prompt) => {
      allow(prompt);
      return countOf(prompt);
    },
    generate: (request, { emit }) => {
      const warms = request.maxTokens === 1;
      (warms ? warmed : asked).push(request);
      if (warms) allow(request);
      const line = warms ? ({ text: "x", finish: "length" } as const) : lines.shift();
      if (!line) throw new Error("nothing more was written");
      if (line instanceof Error) throw line;
      const promptTokens = countOf(request);
      emit({ kind: "accepted", promptTokens, fingerprint: "scripted" });
      for (const delta of deltasOf(line)) emit({ kind: "deltas", deltas: [delta] });
      return {
        finishReason: line.finish ?? (line.calls ? "tool_calls" : "stop"),
        promptTokens,
        completionTokens: 1,
        cachedTokens: 0,
        droppedMessages: 0,
        slides: 0,
      };
    },
  };
  const { port1, port2 } = new MessageChannel();
  dispatch(port2 as never, handlers as Handlers);
  const engine = await Engine.load("http://scripted/", { worker: async () => portLink(port1) });
  return { engine, asked, warmed };
}

/** A delta for each letter of the text, and for the halves of each call's arguments. */
function* deltasOf({ text = "", reasoning = "", calls = [] }: Line): Generator<Delta> {
  const delta = (rest: Partial<Delta>): Delta => ({ text: "", tokens: 1, logprobs: [], ...rest });
  if (reasoning !== "") yield delta({ reasoning });
  for (const letter of text) yield delta({ text: letter });
  for (const [index, [name, input]] of calls.entries()) {
    const half = input.length >> 1;
    const begun = { index, id: `call_${index}`, name, arguments: "" };
    yield delta({ toolCalls: [begun, { index, arguments: input.slice(0, half) }] });
    yield delta({ toolCalls: [{ index, arguments: input.slice(half) }] });
  }
}
