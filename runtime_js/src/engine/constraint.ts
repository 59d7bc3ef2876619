/** What an answer must match, and where it stands: which tokens may come next, and which must. */
import { GrammarError } from "../errors.js";
import type { Matcher } from "../grammar/spec.js";
import { type Drawing, HeldDraws } from "./held_draws.js";
import {
  type MaskBuffer,
  type MaskRow,
  type MaskTable,
  type Place,
  tableIn,
} from "./mask_table.js";

/** Tokens that are forced are added without a step each if there are at least so many: a step draws one anyway. */
const FEWEST = 2;

/** Beginnings of what may follow a forced text; a token that one of them changes is not the text's own. */
const SEQUELS = ['"', "a", "A", "0", " ", "\n", "-", ".", ",", ":", "{", "}", "[", "]", "<", "é"];

/** Bytes of a forced text that are looked at. Texts may be long, some have no end, and each is tokenized for every sequel. */
const MOST_FORCED = 2048;
/** Characters at the end of a text that is longer than that: of what follows the ones before them, they are the beginning. */
const CUT = 128;

/** How likely a draw ahead must be of use: one that is not costs a step, and one that is a part of it. */
const LIKELY = 0.95;
/** Places that are looked at ahead of an answer when it comes to the one before them. */
const EXPLORED = 2;

export class Constraint implements Place {
  /** Where the answer stands, once it was asked for. */
  #place: number | undefined;
  /** The place whose draw was submitted before its row led on: nothing can follow that. */
  #blind: number | undefined;
  /** The row that the newest token was drawn by. */
  #from: MaskRow | undefined;
  /** Whether something was learnt of this place just now. */
  #learnt = false;

  /**
   * @param matcher at the answer's beginning; {@link free} frees it
   * @param encode token ids of a text
   * @param jumps whether forced tokens are added without being drawn
   */
  constructor(
    private readonly matcher: Matcher,
    private readonly encode: (text: string) => number[],
    private readonly jumps: boolean,
  ) {}

  /** Whether the answer is complete, and nothing may follow. */
  get complete(): boolean {
    return this.matcher.terminated;
  }

  get grammar(): number {
    return this.matcher.grammar;
  }

  get place(): number {
    this.#place ??= this.matcher.place;
    return this.#place;
  }

  /** The answer goes on to another place. */
  #move(): void {
    this.#place = undefined;
    this.#learnt = false;
  }

  /**
   * Takes a token that was drawn.
   *
   * @returns whether it leads to a row of masks, so that what was drawn after it may be of use
   * @throws GrammarError when it does not match
   */
  take(token: number, masks: MaskBuffer): boolean {
    const table = tableIn(masks);
    const from = table.find(this);
    this.#move();
    if (!this.matcher.accept(token)) {
      throw new GrammarError(`token ${token} was drawn, which the grammar does not allow`);
    }
    const to = table.meet(this);
    from?.led(to !== undefined);
    this.#from = from;
    return to !== undefined;
  }

  /**
   * Takes the tokens that come next whatever is drawn, up to `most`. Those at the end that would be one with what may follow
   * are left to be drawn, at least one: a model that reads text cut where it never is answers worse.
   */
  jump(most: number): number[] {
    if (!this.jumps || most < FEWEST) return [];
    const text = this.matcher.forced(MOST_FORCED);
    if (text.length <= FEWEST) return [];
    const tokens = this.#own(text).slice(0, most);
    if (tokens.length < FEWEST) return [];
    this.#from?.led(false); // whoever ran ahead did so for nothing
    this.#move();
    // A tokenizer may write another text than it was given, such as a space before it.
    const refused = tokens.findIndex((token) => !this.matcher.accept(token));
    return refused < 0 ? tokens : tokens.slice(0, refused);
  }

  /** Tokens of a text that are its own whatever follows, without its last. */
  #own(text: string): number[] {
    // A character at its end that was cut in two is left out.
    const cut = new TextEncoder().encode(text).length > MOST_FORCED - 4;
    const head = cut ? text.slice(0, -CUT) : text;
    const sequels = cut ? [text.slice(-CUT)] : SEQUELS;
    const tokens = this.encode(head).slice(0, -1);
    return sequels.reduce((own, sequel) => {
      if (own.length < FEWEST) return own;
      const longer = this.encode(head + sequel);
      const other = own.findIndex((token, i) => token !== longer[i]);
      return other < 0 ? own : own.slice(0, other);
    }, tokens);
  }

  /** Whether a draw that is not read was made by the mask of this place. @param tag of the row that it was made by */
  isOf(tag: number, masks: MaskBuffer): boolean {
    return tableIn(masks).find(this)?.tag === tag;
  }

  /** Whether the draw after so many that are not read is likely to be made by the right mask, without the host. */
  foresees(unread: number, masks: MaskBuffer): boolean {
    const table = tableIn(masks);
    let row: MaskRow | undefined;
    try {
      row = table.find(this);
    } catch {
      // The grammar engine can't go on: the mask that it is asked for next says so.
    }
    if (!row || this.#blind === this.place) return false;
    const later = unread > 1 ? table.trustAfter(row) : 1;
    return row.trust * later ** (unread - 1) >= LIKELY;
  }

  /** The row of masks of this place, for the step that is submitted next. @throws GrammarError when no token may come next */
  row(masks: MaskBuffer): number {
    const row = tableIn(masks).take(this);
    this.#blind = row.leads ? undefined : this.place;
    return row.index;
  }

  /**
   * Has the row of this place lead on, or once an answer has come here again more of its tokens lead to rows, so that steps may run ahead
   * when one does.
   *
   * @throws GrammarError when the grammar engine can't go on
   */
  learn(masks: MaskBuffer): void {
    const table = tableIn(masks);
    const row = this.#learnt ? undefined : table.find(this);
    if (!row) return;
    this.#learnt = true;
    if (!row.leads) table.lead(row, this);
    else for (const token of table.unexplored(row, EXPLORED)) this.#explore(token, table);
  }

  /** Makes the row of the place that a token leads to. */
  #explore(token: number, table: MaskTable): void {
    const here = this.#place;
    if (!this.matcher.accept(token)) return;
    this.#place = undefined;
    try {
      table.take(this);
    } catch {
      // Nothing may follow: whoever comes there is told.
    }
    this.matcher.rollback(1);
    this.#place = here;
  }

  /** Writes which tokens may come next. @throws GrammarError when none may */
  mask(into: Uint32Array): void {
    this.matcher.mask(into);
    allowsAny(into);
  }

  /** The same, and where each token leads. @throws GrammarError when none may */
  leads(into: Uint32Array, leads: Int32Array): void {
    this.matcher.leads(into, leads);
    allowsAny(into);
  }

  /** Holds the draws of a step back that this answer is in. Here, as whoever has no grammar need not load it. */
  hold<Request extends Drawing>(
    ...parts: ConstructorParameters<typeof HeldDraws<Request>>
  ): HeldDraws<Request> {
    return new HeldDraws(...parts);
  }

  free(): void {
    this.matcher.free();
  }
}

function allowsAny(mask: Uint32Array): void {
  if (mask.some((word) => word !== 0)) return;
  throw new GrammarError("no token of this model can go on as the grammar asks");
}
