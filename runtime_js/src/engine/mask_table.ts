/**
 * Masks on the GPU: a row for each place of a grammar that an answer has met, and in it the row that each token leads to. A draw that a row
 * is known for needs nothing of the host: the sampler goes on to the next row by itself, and steps run ahead as those of free answers.
 *
 * What a row says is checked when the draw is read: rows have tags, a draw tells that of its row, and the host knows by then which place
 * the answer stood at. So a row may be given to another place at any time, and lead where it once led.
 */
import { MASK_HEAD, MOST_ROWS, maskRowWords, maskWords } from "../program/masks.js";

/** The buffer `masks` of an executor. */
export interface MaskBuffer {
  /** More than twice as many as the slots. */
  readonly rows: number;
  readonly vocab: number;
  /** Writes words of it: steps that are submitted from now on see them. */
  write(offset: number, words: Uint32Array<ArrayBuffer>): void;
}

const tables = new WeakMap<MaskBuffer, MaskTable>();

/** The table in a buffer. */
export function tableIn(buffer: MaskBuffer): MaskTable {
  let table = tables.get(buffer);
  if (!table) {
    table = new MaskTable(buffer);
    tables.set(buffer, table);
  }
  return table;
}

/** Where an answer stands, and what may come next. */
export interface Place {
  /** Numbers of the grammar and the place in it; equal ones have equal masks. */
  readonly grammar: number;
  readonly place: number;
  /** Writes the mask. @throws GrammarError where nothing may come next */
  mask(into: Uint32Array): void;
  /** The same, and for each token the place that it leads to, 0 if to none that is known. */
  leads(into: Uint32Array, leads: Int32Array): void;
}

export class MaskRow {
  /** Whether tokens lead on from it; before, it is a mask and nothing else. */
  leads:
    | {
        /** By token: the place, and its row. */
        places: Int32Array;
        rows: Uint8Array<ArrayBuffer>;
        /** How many tokens lead to a place. */
        all: Map<number, number>;
      }
    | undefined;
  /** How many of the tokens that lead somewhere lead to a row, and all. */
  known = 0;
  reach = 0;
  /** Tokens that were drawn by it and read, and those that did not lead to a row. */
  #drawn = 0;
  #astray = 0;
  used = 0;

  constructor(
    readonly grammar: number,
    readonly place: number,
    readonly index: number,
    /** Of this row and no other, ever. */
    readonly tag: number,
  ) {}

  /** A token that was drawn by it led to a row, or did not. */
  led(well: boolean): void {
    this.#drawn++;
    if (!well) this.#astray++;
  }

  /** Other tokens lead to a row now: what went astray may not have to. */
  learnt(): void {
    if (this.known === this.reach) this.#astray = 0;
  }

  /** How likely the next token leads to a row: surely, if all do, else by what was seen (Laplace's rule of succession). */
  get trust(): number {
    if (!this.leads) return 0;
    if (this.known === this.reach && this.#astray === 0) return 1;
    return 1 - (this.#astray + 1) / (this.#drawn + 2);
  }
}

const NONE: readonly number[] = [];

export class MaskTable {
  /** By index; row 0 is nobody's. */
  readonly #rows: (MaskRow | undefined)[] = [undefined];
  /** By grammar and place. */
  readonly #known = new Map<number, Map<number, MaskRow>>();
  readonly #most: number;
  readonly #vocab: number;
  /** A row. */
  readonly #words: Uint32Array<ArrayBuffer>;
  #tags = 0;
  #clock = 0;

  /** @param buffer nobody else writes to it */
  constructor(private readonly buffer: MaskBuffer) {
    this.#most = Math.min(buffer.rows, MOST_ROWS);
    this.#vocab = buffer.vocab;
    this.#words = new Uint32Array(maskRowWords(buffer.vocab));
  }

  /** The row of a place, if it has one. */
  find({ grammar, place }: Pick<Place, "grammar" | "place">): MaskRow | undefined {
    return this.#known.get(grammar)?.get(place);
  }

  /**
   * The row of a place, made and written if need be: good for the step that is submitted next.
   *
   * @throws GrammarError
   */
  take(place: Place): MaskRow {
    return this.meet(place) ?? this.#make(place);
  }

  /** The row of a place that an answer has come to, if it has one. */
  meet(place: Place): MaskRow | undefined {
    const row = this.find(place);
    if (row) row.used = ++this.#clock;
    return row;
  }

  #make(place: Place): MaskRow {
    const mask = this.#words.subarray(MASK_HEAD, MASK_HEAD + maskWords(this.#vocab));
    place.mask(mask);
    const row = this.#add(place);
    // The first word is the sampler's.
    this.#words[1] = row.tag;
    const end = MASK_HEAD + mask.length;
    this.buffer.write(row.index * this.#words.length + 1, this.#words.subarray(1, end));
    this.#point(row, row.index);
    return row;
  }

  /** How likely the token after a row's next leads to a row, if all its tokens are as likely. */
  trustAfter({ grammar, reach, leads }: MaskRow): number {
    const known = this.#known.get(grammar);
    let sum = 0;
    leads?.all.forEach((tokens, place) => {
      sum += tokens * (known?.get(place)?.trust ?? 0);
    });
    return reach > 0 ? sum / reach : 0;
  }

  /** Tokens that lead from a row to places without one, of so many places one each. */
  unexplored(row: MaskRow, places: number): readonly number[] {
    const { grammar, leads } = row;
    if (!leads || row.known === row.reach) return NONE; // asked for at each token, and mostly so
    const known = this.#known.get(grammar);
    const tokens: number[] = [];
    for (const place of leads.all.keys()) {
      if (tokens.length === places) break;
      if (!known?.has(place)) tokens.push(leads.places.indexOf(place));
    }
    return tokens;
  }

  /** Has tokens lead on from a row, as far as their places have rows; its draws that were submitted before may not see it. */
  lead(row: MaskRow, place: Place): void {
    const mask = this.#words.subarray(MASK_HEAD, MASK_HEAD + maskWords(this.#vocab));
    const places = new Int32Array(this.#vocab);
    place.leads(mask, places);
    const known = this.#known.get(row.grammar);
    const rows = new Uint8Array(4 * Math.ceil(this.#vocab / 4));
    const all = new Map<number, number>();
    row.known = row.reach = 0;
    // Neighbours mostly lead to the same place.
    for (let token = 0; token < places.length; ) {
      const place = places[token] as number;
      const begin = token;
      while (places[token] === place) token++;
      if (place === 0) continue;
      const index = known?.get(place)?.index ?? 0;
      rows.fill(index, begin, token);
      all.set(place, token - begin + (all.get(place) ?? 0));
      row.reach += token - begin;
      if (index > 0) row.known += token - begin;
    }
    row.leads = { places, all, rows };
    this.#writeLeads(row);
  }

  #writeLeads({ index, leads }: MaskRow): void {
    const at = index * this.#words.length + MASK_HEAD + maskWords(this.#vocab);
    if (leads) this.buffer.write(at, new Uint32Array(leads.rows.buffer));
  }

  #add({ grammar, place }: Place): MaskRow {
    const index = this.#free();
    const row = new MaskRow(grammar, place, index, ++this.#tags);
    row.used = ++this.#clock;
    this.#rows[index] = row;
    let known = this.#known.get(grammar);
    if (!known) {
      known = new Map();
      this.#known.set(grammar, known);
    }
    known.set(place, row);
    return row;
  }

  /** An index that is free: that of the row which was not used for longest, when all are taken. */
  #free(): number {
    if (this.#rows.length < this.#most) return this.#rows.length;
    const oldest = this.#rows.reduce((a, b) => (a && b && b.used >= a.used ? a : (b ?? a)));
    const { grammar, place, index } = oldest as MaskRow;
    this.#point(oldest as MaskRow, 0);
    const known = this.#known.get(grammar);
    known?.delete(place);
    if (known?.size === 0) this.#known.delete(grammar);
    return index;
  }

  /** Has tokens of other rows that lead to this one's place lead to a row, or to none. */
  #point({ grammar, place }: MaskRow, index: number): void {
    for (const row of this.#known.get(grammar)?.values() ?? []) {
      const { leads } = row;
      if (!leads?.all.has(place)) continue;
      const { places, rows } = leads;
      let changed = 0;
      for (let token = 0; token < places.length; token++) {
        if (places[token] !== place || rows[token] === index) continue;
        rows[token] = index;
        changed++;
      }
      if (changed === 0) continue;
      row.known += index > 0 ? changed : -changed;
      row.learnt();
      this.#writeLeads(row);
    }
  }
}
