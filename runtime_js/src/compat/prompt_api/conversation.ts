/** What a session has said and heard, and how it is made to fit the context. */
import { type ChatCompletionTool, type Engine, TemplateError } from "../../index.js";
import { quotaExceeded } from "./errors.js";
import type { Message, Said } from "./messages.js";

/** Share of the context that is kept free for an answer, as long as there are older turns to leave out. */
const ANSWER = 1 / 4;

export class Conversation {
  /** Tokens of tools and all messages. */
  usage = 0;
  /** Tokens of the tools alone. */
  #toolTokens: Promise<number> | undefined;

  constructor(
    private readonly engine: Engine,
    /** These always stay. */
    private readonly initial: readonly Message[],
    private readonly tools: ChatCompletionTool[] | undefined,
    private turns: Said[] = [],
  ) {}

  /** The tokens that a prompt may have: the rest of the context is at least one token of an answer. */
  get quota(): number {
    return this.engine.info.contextLength - 1;
  }

  get empty(): boolean {
    return this.initial.length + this.turns.length === 0;
  }

  copy(): Conversation {
    const copy = new Conversation(this.engine, this.initial, this.tools, [...this.turns]);
    copy.usage = this.usage;
    return copy;
  }

  /** Tokens that these would add. */
  async measure(messages: readonly Said[]): Promise<number> {
    const [before, after] = await Promise.all([
      this.#count(this.#all()),
      this.#count([...this.#all(), ...messages]),
    ]);
    return after - before;
  }

  /**
   * Messages for a request, these last. Leaves out the oldest turns, a prompt with its answer at a time, until they fit.
   *
   * @returns what to ask, and which turns are left; nothing changes before {@link commit}
   * @throws QuotaExceededError when these, or what always stays, are too long alone
   */
  async fit(
    messages: readonly Said[],
  ): Promise<{ messages: Said[]; turns: Said[]; dropped: number }> {
    let turns = this.turns;
    const room = this.quota - Math.floor(this.engine.info.contextLength * ANSWER);
    for (;;) {
      const all = [...this.initial, ...turns, ...messages];
      const tokens = await this.#count(all);
      if (tokens <= room || (turns.length === 0 && tokens <= this.quota)) {
        return { messages: all, turns, dropped: this.turns.length - turns.length };
      }
      if (turns.length === 0) {
        if (messages.length === 0) throw quotaExceeded(tokens, this.quota);
        const kept = await this.#count(this.#all());
        const requested = tokens - (await this.#count(this.initial));
        throw quotaExceeded(requested, Math.max(0, this.quota - kept));
      }
      turns = turns.slice(firstTurn(turns));
    }
  }

  /** These are the turns from now on. */
  async commit(turns: Said[]): Promise<void> {
    this.turns = turns;
    this.usage = await this.#count(this.#all());
  }

  #all(): Said[] {
    return [...this.initial, ...this.turns];
  }

  async #count(messages: readonly Said[]): Promise<number> {
    if (messages.length === 0) return this.#countTools();
    try {
      return await this.#prompt(messages, this.tools);
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error;
      // Templates may refuse what is no whole conversation yet, such as a system message alone.
      const counts = messages.map((message) => this.engine.tokenize(textOf(message)));
      const texts = (await Promise.all(counts)).reduce((sum, { length }) => sum + length, 0);
      return texts + (await this.#countTools());
    }
  }

  /** What they add to a prompt: a template may say nothing of them in none. */
  #countTools(): Promise<number> {
    if (!this.tools) return Promise.resolve(0);
    const prompt: Message[] = [{ role: "user", content: "" }];
    this.#toolTokens ??= Promise.all([
      this.#prompt(prompt, this.tools),
      this.#prompt(prompt, undefined),
    ]).then(([told, untold]) => told - untold);
    return this.#toolTokens;
  }

  #prompt(messages: readonly Said[], tools: ChatCompletionTool[] | undefined): Promise<number> {
    return this.engine.countTokens([...messages], tools ? { tools } : {});
  }
}

/** What a message says, its calls too. */
function textOf(message: Said): string {
  const calls = "tool_calls" in message ? message.tool_calls : [];
  const written = calls.map(({ function: fn }) => fn.name + fn.arguments);
  return [message.content ?? "", ...written].join("\n");
}

/** Messages of the oldest turn: up to the end of the first answer with its calls and their results, or all if there is none. */
function firstTurn(turns: readonly Said[]): number {
  let end = turns.findIndex(({ role }) => role === "assistant");
  if (end < 0) return turns.length;
  const more = () => turns[end + 1]?.role;
  while (more() === "assistant" || more() === "tool") end++;
  return end + 1;
}
