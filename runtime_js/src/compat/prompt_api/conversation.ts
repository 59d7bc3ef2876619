/** What a session has said and heard, and how it is made to fit the context. */
import { type Engine, TemplateError } from "../../index.js";
import { quotaExceeded } from "./errors.js";
import type { Message } from "./messages.js";

/** Share of the context that is kept free for an answer, as long as there are older turns to leave out. */
const ANSWER = 1 / 4;

export class Conversation {
  /** Tokens of all messages. */
  usage = 0;

  constructor(
    private readonly engine: Engine,
    /** These always stay. */
    private readonly initial: readonly Message[],
    private turns: Message[] = [],
  ) {}

  /** The tokens that a prompt may have: the rest of the context is at least one token of an answer. */
  get quota(): number {
    return this.engine.info.contextLength - 1;
  }

  get empty(): boolean {
    return this.initial.length + this.turns.length === 0;
  }

  copy(): Conversation {
    const copy = new Conversation(this.engine, this.initial, [...this.turns]);
    copy.usage = this.usage;
    return copy;
  }

  /** Tokens that these would add. */
  async measure(messages: readonly Message[]): Promise<number> {
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
   * @throws QuotaExceededError when these are too long alone
   */
  async fit(
    messages: readonly Message[],
  ): Promise<{ messages: Message[]; turns: Message[]; dropped: number }> {
    let turns = this.turns;
    const room = this.quota - Math.floor(this.engine.info.contextLength * ANSWER);
    for (;;) {
      const all = [...this.initial, ...turns, ...messages];
      const tokens = await this.#count(all);
      if (tokens <= room || (turns.length === 0 && tokens <= this.quota)) {
        return { messages: all, turns, dropped: this.turns.length - turns.length };
      }
      if (turns.length === 0) {
        const kept = await this.#count(this.#all());
        const requested = tokens - (await this.#count(this.initial));
        throw quotaExceeded(requested, Math.max(0, this.quota - kept));
      }
      turns = turns.slice(firstTurn(turns));
    }
  }

  /** These are the turns from now on. */
  async commit(turns: Message[]): Promise<void> {
    this.turns = turns;
    this.usage = await this.#count(this.#all());
  }

  #all(): Message[] {
    return [...this.initial, ...this.turns];
  }

  async #count(messages: readonly Message[]): Promise<number> {
    if (messages.length === 0) return 0;
    try {
      return await this.engine.countTokens([...messages]);
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error;
      // Templates may refuse what is no whole conversation yet, such as a system message alone.
      const counts = messages.map(({ content }) => this.engine.tokenize(content));
      return (await Promise.all(counts)).reduce((sum, { length }) => sum + length, 0);
    }
  }
}

/** Messages of the oldest turn: up to the end of the first answer, or all if there is none. */
function firstTurn(turns: readonly Message[]): number {
  let end = turns.findIndex(({ role }) => role === "assistant");
  if (end < 0) return turns.length;
  while (turns[end + 1]?.role === "assistant") end++;
  return end + 1;
}
