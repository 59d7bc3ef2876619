/** The repository's own Jinja chat template. */
import { Template } from "@huggingface/jinja";
import { InvalidRequestError, TemplateError } from "../errors.js";

/** A message as templates see it. */
export interface TemplateMessage {
  role: "system" | "user" | "assistant" | "tool";
  content: string | null;
  name?: string;
  tool_call_id?: string;
  tool_calls?: { id: string; type: "function"; function: { name: string; arguments: unknown } }[];
  /** What the model thought before it. */
  reasoning_content?: string;
  /** Tools as JSON text, for templates that take them with the system message. */
  tools?: string;
}

/** What is read of tokenizer_config.json. */
export interface TokenizerConfig {
  chat_template?: string | { name: string; template: string }[];
  [key: string]: unknown;
}

export class ChatTemplate {
  readonly #template: Template;
  /** Some models have another one for requests with tools. */
  readonly #withTools: Template | undefined;
  /** The text of all of them. */
  readonly source: string;
  /** Names that it may read. */
  readonly #names: ReadonlySet<string>;
  readonly #variables: Record<string, unknown>;

  /**
   * @param source chat_template.jinja, or undefined to take the one in tokenizer_config.json
   * @throws TemplateError when there is none, or it does not parse
   */
  constructor(source: string | undefined, config: TokenizerConfig) {
    const text = source ?? embedded(config, "default");
    const withTools = embedded(config, "tool_use");
    if (text === undefined) {
      throw new TemplateError("the model has no chat template: it is not a chat model");
    }
    try {
      this.#template = new Template(text);
      this.#withTools = withTools === undefined ? undefined : new Template(withTools);
    } catch (cause) {
      throw new TemplateError(
        `the chat template is invalid: ${(cause as Error).message}`,
        {},
        { cause },
      );
    }
    this.source = `${text}\n${withTools ?? ""}`;
    this.#names = new Set(this.source.replace(/\{#.*?#\}/gs, "").match(/[a-z_]\w*/gi));
    this.#variables = specialTokens(config);
  }

  /**
   * The prompt that asks for the assistant's next message.
   *
   * @param settings variables of a request, such as `tools` and `enable_thinking`
   * @throws TemplateError with what the template says is wrong · InvalidRequestError about a setting that it does not read
   */
  render(messages: TemplateMessage[], settings: Record<string, unknown> = {}): string {
    const variables = { ...this.#variables, ...this.#understood(settings) };
    const template = (settings["tools"] ? this.#withTools : undefined) ?? this.#template;
    try {
      return template.render({
        ...variables,
        messages: this.#named(messages),
        add_generation_prompt: true,
      });
    } catch (cause) {
      throw new TemplateError(
        `the chat template refuses these messages: ${(cause as Error).message}`,
        {},
        { cause },
      );
    }
  }

  /** Messages whose thinking has the name that the template knows it by. */
  #named(messages: TemplateMessage[]): TemplateMessage[] {
    if (!this.#names.has("thinking") || this.#names.has("reasoning_content")) return messages;
    return messages.map((message) => {
      const { reasoning_content: thinking } = message;
      return thinking ? { ...message, thinking } : message;
    });
  }

  /** Templates that know thinking as on or off take an effort for that. */
  #understood({ reasoning_effort: effort, ...others }: Record<string, unknown>) {
    const read: Record<string, unknown> = { ...others };
    if (effort !== undefined) {
      const switches = !this.#names.has("reasoning_effort") && this.#names.has("enable_thinking");
      if (!switches) read["reasoning_effort"] = effort;
      else read["enable_thinking"] ??= effort !== "none";
    }
    for (const [name, value] of Object.entries(read)) {
      if (value === undefined || this.#names.has(name)) continue;
      const param = name === "reasoning_effort" ? name : `webbuild.template.${name}`;
      throw new InvalidRequestError(
        `${param} changes nothing: this model's chat template does not read it; leave it out`,
        { param },
      );
    }
    return read;
  }
}

function embedded(
  { chat_template: given }: TokenizerConfig,
  name: "default" | "tool_use",
): string | undefined {
  if (!Array.isArray(given)) return name === "default" ? given : undefined;
  const named = given.find((t) => t.name === name)?.template;
  return named ?? (name === "default" ? given[0]?.template : undefined);
}

/** bos_token, eos_token …: strings, or records with `content`. */
function specialTokens(config: TokenizerConfig): Record<string, unknown> {
  const tokens: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(config)) {
    if (!key.endsWith("_token")) continue;
    const content =
      typeof value === "string" ? value : (value as { content?: unknown } | null)?.content;
    if (typeof content === "string") tokens[key] = content;
  }
  return tokens;
}
