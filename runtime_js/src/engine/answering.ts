/** What a chat model's answers are made of: content, thinking, calls of tools. Found out once for each model. */
import type { GrammarSpec } from "../grammar/spec.js";
import { AnswerParser, type AnswerParts } from "../text/answer_parser.js";
import type { ChatTemplate } from "../text/chat_template.js";
import { opensReasoning, type ReasoningFormat, reasoningOf } from "../text/reasoning.js";
import { TemplateTools } from "../text/template_tools.js";
import { constraintOf } from "../text/tool_constraint.js";
import { markersOf, messagesOf, type ToolFormat } from "../text/tool_formats.js";
import type { Delta, GenerateRequest, GenerateResult } from "./request.js";
import type { TextParts } from "./text_parts.js";

/** Tokens at a prompt's end that may open the model's thinking. */
const TAIL = 16;

export class Answering {
  readonly #thinking: ReasoningFormat | undefined;
  /** The format, if all answers are in messages. */
  readonly #messages: ToolFormat | undefined;
  #tools: TemplateTools | undefined;

  constructor(
    private readonly text: Pick<TextParts, "tokenizer">,
    private readonly template: ChatTemplate,
  ) {
    const tokens = text.tokenizer.bytes.added.map(({ content }) => content);
    this.#messages = messagesOf(template.source);
    this.#thinking = this.#messages ? undefined : reasoningOf([template.source, ...tokens]);
  }

  /** What the template says about tools. */
  get tools(): TemplateTools {
    const tokens = this.text.tokenizer.bytes.added.map(({ content }) => content);
    this.#tools ??= new TemplateTools(this.template, tokens);
    return this.#tools;
  }

  /**
   * How to read the answer to a prompt; undefined where all of it is content, in any form.
   *
   * @param prompt its tokens
   * @param grammar what the request wants its content to match
   */
  of(
    request: GenerateRequest,
    prompt: Int32Array,
    grammar: GrammarSpec | undefined,
  ): ReadAnswer | undefined {
    const { tools: specs, toolChoice = { mode: "auto" }, constrainTools = true } = request;
    const thinking = this.#thinking && {
      format: this.#thinking,
      opened: opensReasoning(this.#tail(prompt), this.#thinking),
    };
    const messages = this.#messages && {
      format: this.#messages,
      opened: this.#tail(prompt).trimEnd().endsWith(this.#messages.open),
    };
    if (!specs && !thinking && !messages && !grammar) return undefined;
    const syntax = specs && this.tools.syntax;
    const format = this.#messages ?? syntax?.format;
    const tools = format && { format, specs: specs ?? [] };
    const held = syntax && constrainTools ? { syntax, specs, choice: toolChoice } : undefined;
    const parts = { thinking, tools };
    return new ReadAnswer(
      parts,
      this.#keep(parts),
      constraintOf({ tools: held, thinking, messages, grammar }),
    );
  }

  /** Control tokens that are marks of calls or thinking. */
  get marks(): ReadonlySet<number> {
    const thinking = this.#thinking && { format: this.#thinking, opened: false };
    return this.#keep({ tools: { format: this.tools.syntax.format, specs: [] }, thinking });
  }

  #tail(prompt: Int32Array): string {
    const { bytes } = this.text.tokenizer;
    const decoder = new TextDecoder();
    return [...prompt.subarray(-TAIL)]
      .map((id) => decoder.decode(bytes.of(id), { stream: true }))
      .join("");
  }

  /** Control tokens that are marks, or parts of one. */
  #keep({ tools, thinking }: AnswerParts): ReadonlySet<number> {
    const marks = [
      ...(tools ? markersOf(tools.format) : []),
      ...(thinking ? [thinking.format.begin, thinking.format.end] : []),
    ];
    const { added } = this.text.tokenizer.bytes;
    const kept = added.filter(({ content }) => marks.some((mark) => mark.includes(content)));
    return new Set(kept.map(({ id }) => id));
  }
}

/** One answer, as it comes. */
export class ReadAnswer {
  readonly #parser: AnswerParser;
  #reasoningTokens: number | undefined;

  /**
   * @param keep control tokens that must be in the text
   * @param grammar what the answer must look like, all of it
   */
  constructor(
    parts: AnswerParts,
    readonly keep: ReadonlySet<number>,
    readonly grammar?: GrammarSpec,
  ) {
    this.#parser = new AnswerParser(parts);
    if (parts.thinking || parts.tools?.format.messages?.reasoning) this.#reasoningTokens = 0;
  }

  /** Tells thinking and calls from content. */
  read({ text, ...delta }: Delta): Delta {
    const before = this.#parser.thinking;
    const parts = this.#parser.push(text);
    const thought = before || this.#parser.thinking;
    if (thought && this.#reasoningTokens !== undefined) this.#reasoningTokens += delta.tokens;
    return withParts(delta, parts);
  }

  /** What was held back, if anything was. */
  rest(): Delta | undefined {
    const parts = this.#parser.finish();
    if (parts.text === "" && parts.reasoning === "" && parts.toolCalls.length === 0)
      return undefined;
    return withParts({ tokens: 0, logprobs: [] }, parts);
  }

  /** The result, after the end. An answer that its length cut off says so, whatever was in it. */
  result<R extends Pick<GenerateResult, "finishReason">>(result: R): R {
    const called = result.finishReason === "stop" && this.#parser.calls > 0;
    return {
      ...result,
      ...(called ? { finishReason: "tool_calls" } : {}),
      ...(this.#reasoningTokens === undefined ? {} : { reasoningTokens: this.#reasoningTokens }),
    };
  }
}

function withParts(
  delta: Omit<Delta, "text">,
  { text, reasoning, toolCalls }: ReturnType<AnswerParser["push"]>,
): Delta {
  return {
    ...delta,
    text,
    ...(reasoning === "" ? {} : { reasoning }),
    ...(toolCalls.length === 0 ? {} : { toolCalls }),
  };
}
