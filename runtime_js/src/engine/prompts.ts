/** What requests ask becomes the tokens that a model reads, and that fit its context. */
import { ContextLengthExceeded, InvalidRequestError, ToolsUnsupported } from "../errors.js";
import type { TemplateMessage } from "../text/chat_template.js";
import { fillInMiddle } from "../text/fill_in_middle.js";
import type { ToolSpec } from "../text/tools.js";
import { commonPrefix } from "./admission.js";
import { Answering } from "./answering.js";
import { type Window, windowOf } from "./context.js";
import type { GenerateRequest, Prompt, PromptRequest } from "./request.js";
import { isToken } from "./sampling.js";
import type { TextParts } from "./text_parts.js";
import { turnsOf, turnsToDrop } from "./turns.js";

/** Of a context: what is left to an answer at most, when it is chosen what fits, and the strides in which turns are dropped. */
const PART = 1 / 4;

/** Variables of the chat template. */
type Settings = Record<string, unknown>;

/** A prompt as the model reads it. */
interface Read {
  tokens: Int32Array;
  ends: readonly number[];
  /** What it was given as. */
  param: "messages" | "prompt";
}

/** A prompt that fits. */
export interface Fitted {
  tokens: Int32Array;
  /** Messages that were left out. */
  droppedMessages: number;
  /** What is kept when the answer fills the context; undefined: it ends then. */
  window: Window | undefined;
  /** Tokens that end the answer beside the model's own. */
  ends: readonly number[];
}

export class Prompts {
  #answering: Answering | undefined;

  constructor(
    private readonly text: Pick<TextParts, "tokenizer" | "template">,
    private readonly vocab: number,
    private readonly contextLength: number,
  ) {}

  /** What this model's answers are made of. @throws TemplateError when it is no chat model */
  get answering(): Answering {
    const { template } = this.text;
    if (template instanceof Error) throw template;
    this.#answering ??= new Answering(this.text, template);
    return this.#answering;
  }

  /** Control tokens that a chat model's answers are made of, beside text. */
  get marks(): ReadonlySet<number> {
    return this.text.template instanceof Error ? new Set() : this.answering.marks;
  }

  /** The prompt that these messages become. @throws TemplateError, InvalidRequestError, ToolsUnsupported */
  render(messages: TemplateMessage[], settings?: Settings): { text: string; tokens: number[] } {
    const { template } = this.text;
    if (template instanceof Error) throw template;
    const called = messages.some(({ role, tool_calls }) => role === "tool" || tool_calls);
    if (settings?.["tools"] && !this.answering.tools.takesTools) {
      throw new ToolsUnsupported(
        "this model's chat template does not take tools, so the model would never learn of them: leave tools out, describe " +
          "them in a system message, or load a model that was trained with tools",
        { param: "tools" },
      );
    }
    const prepared =
      called || settings?.["tools"]
        ? this.answering.tools.prepare(messages, settings)
        : { messages, settings };
    const text = template.render(prepared.messages, prepared.settings);
    return { text, tokens: this.text.tokenizer.encode(text) };
  }

  /** How many tokens a prompt has, be they none, or more than the context holds. @throws TemplateError, InvalidRequestError */
  count(asked: PromptRequest): number {
    return this.#encode(asked.messages, settingsOf(asked)).tokens.length;
  }

  /** The tokens of a prompt, all of them. @throws InvalidRequestError, ContextLengthExceeded, TemplateError */
  tokens(asked: PromptRequest): Int32Array {
    return this.#whole(asked.messages, settingsOf(asked)).tokens;
  }

  #whole(prompt: Prompt, settings: Settings | undefined): Read {
    const read = this.#read(prompt, settings);
    this.#check(read, this.contextLength - 1);
    return read;
  }

  /**
   * What a request's prompt and window are, by what it says about a context that is too short.
   *
   * @throws InvalidRequestError, ContextLengthExceeded, TemplateError
   */
  fit(request: GenerateRequest): Fitted {
    const { contextLength } = this;
    const { messages, maxTokens, overflow = "error" } = request;
    const settings = settingsOf(request);
    if (overflow === "error") {
      return { ...this.#whole(messages, settings), droppedMessages: 0, window: undefined };
    }
    const stride = Math.max(1, Math.floor(contextLength * PART));
    const limit = contextLength - Math.min(maxTokens ?? stride, stride);
    if (overflow === "slide" && isMessages(messages)) {
      return this.#slid(messages, settings, { limit, stride });
    }
    const read = this.#read(messages, settings);
    this.#check(read, overflow === "slide" ? contextLength - 1 : limit);
    const window = overflow === "slide" ? windowOf(contextLength, read.tokens) : undefined;
    return { ...read, droppedMessages: 0, window };
  }

  /** Leaves out whole turns after the system messages. */
  #slid(
    messages: TemplateMessage[],
    settings: Settings | undefined,
    room: { limit: number; stride: number },
  ): Fitted {
    const { head, turns } = turnsOf(messages);
    const prompts = new Map<number, Read>();
    const without = (dropped: number): Read => {
      const known = prompts.get(dropped);
      if (known) return known;
      const prompt = this.#read([...head, ...turns.slice(dropped).flat()], settings);
      prompts.set(dropped, prompt);
      return prompt;
    };
    const length = (dropped: number) => without(dropped).tokens.length;
    const dropped = turnsToDrop(turns.length, length, room);
    const read = without(dropped);
    const { tokens } = read;
    const even = dropped > 0 ? " even without earlier turns" : "";
    this.#check(read, this.contextLength - 1, even);
    return {
      ...read,
      droppedMessages: turns.slice(0, dropped).flat().length,
      window: windowOf(this.contextLength, tokens, this.#beginning(head, settings, tokens)),
    };
  }

  /** How many tokens come before the first turn's text. */
  #beginning(head: TemplateMessage[], settings: Settings | undefined, tokens: Int32Array): number {
    try {
      return commonPrefix(
        tokens,
        this.#read([...head, { role: "user", content: "" }], settings).tokens,
      );
    } catch {
      return 0; // a template may refuse an empty message
    }
  }

  /** @throws InvalidRequestError when it is empty, or no prompt of this model */
  #read(prompt: Prompt, settings?: Settings): Read {
    const param = isMessages(prompt) ? "messages" : "prompt";
    const { tokens, ends = [] } = this.#encode(prompt, settings);
    if (tokens.length === 0) {
      const what = param === "messages" ? "the messages make an empty prompt" : "prompt is empty";
      throw new InvalidRequestError(what, { param });
    }
    const outside = tokens.find((id) => !isToken(id, this.vocab));
    if (outside === undefined) return { tokens: Int32Array.from(tokens), ends, param };
    throw new InvalidRequestError(`token ${outside} is outside the vocabulary of ${this.vocab}`, {
      param: "prompt",
    });
  }

  #encode(
    prompt: Prompt,
    settings: Settings | undefined,
  ): { tokens: readonly number[]; ends?: readonly number[] } {
    const { tokenizer } = this.text;
    if (isMessages(prompt)) return this.render(prompt, settings);
    if (typeof prompt === "string") return { tokens: tokenizer.encode(prompt) };
    if (!("text" in prompt)) return { tokens: prompt };
    const { text, suffix } = prompt;
    const tokens = typeof text === "string" ? tokenizer.encode(text) : text;
    if (suffix !== undefined) return fillInMiddle(tokenizer, tokens, suffix);
    return { tokens: typeof text === "string" ? [...tokenizer.beginning, ...tokens] : tokens };
  }

  #check({ tokens, param }: Read, limit: number, even = ""): void {
    const promptTokens = tokens.length;
    if (promptTokens <= limit) return;
    const { contextLength } = this;
    throw new ContextLengthExceeded(
      `the prompt has ${promptTokens} tokens${even}, the context holds ${contextLength} with the answer: ` +
        `shorten the ${param}, or load the engine with a larger contextLength`,
      { param, promptTokens, limit, contextLength },
    );
  }
}

/** Variables of the template, tools among them. */
function settingsOf({ tools, template }: PromptRequest): Settings {
  return { ...template, ...(tools ? { tools: tools.map(told) } : {}) };
}

/** A tool as templates take it: `strict` is not the model's business. */
function told({ type, function: { strict: _, ...about } }: ToolSpec): unknown {
  return { type, function: about };
}

export const isMessages = (prompt: Prompt): prompt is TemplateMessage[] =>
  Array.isArray(prompt) && typeof prompt[0] !== "number";
