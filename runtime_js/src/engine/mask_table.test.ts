/** The table of masks against what a grammar says: a walk over places that are numbers. */
import { describe, expect, test } from "vitest";
import { MASK_HEAD, maskRowWords, maskWords } from "../program/masks.js";
import { random } from "../testing/fake_serving.js";
import { type MaskBuffer, MaskTable, type Place, tableIn } from "./mask_table.js";

const VOCAB = 70;
const WORDS = maskRowWords(VOCAB);

/** Places of a grammar: of each token the place that it leads to; 0: it is not allowed. */
function grammarOf(grammar: number, places: number, below: (n: number) => number) {
  const leads = Array.from({ length: places + 1 }, () =>
    Int32Array.from({ length: VOCAB }, () => (below(3) === 0 ? 1 + below(places) : 0)),
  );
  return (place: number): Place => ({
    grammar,
    place,
    mask: (into) => into.set(maskOf(leads[place] as Int32Array)),
    leads(into, to) {
      this.mask(into);
      to.set(leads[place] as Int32Array);
    },
  });
}

function maskOf(leads: Int32Array): Uint32Array {
  const mask = new Uint32Array(maskWords(VOCAB));
  leads.forEach((to, token) => {
    if (to > 0) mask[token >> 5] = (mask[token >> 5] as number) | (1 << (token & 31));
  });
  return mask;
}

function bufferOf(rows: number) {
  const words = new Uint32Array(rows * WORDS);
  let writes = 0;
  const buffer: MaskBuffer = {
    rows,
    vocab: VOCAB,
    write(offset, data) {
      writes++;
      words.set(data, offset);
    },
  };
  const row = (index: number) => words.subarray(index * WORDS, (index + 1) * WORDS);
  return { buffer, row, writes: () => writes };
}

describe("the table of masks", () => {
  test.each([6, 20, 500])("with %i rows says what the grammars say", (rows) => {
    const below = random(rows);
    const { buffer, row } = bufferOf(rows);
    const table = new MaskTable(buffer);
    const grammars = [grammarOf(1, 30, below), grammarOf(2, 9, below)];
    const sizes = [30, 9];
    const held = new Set<number>();
    for (let turn = 0; turn < 3000; turn++) {
      const which = below(2);
      const place = (grammars[which] as (typeof grammars)[number])(
        1 + below(sizes[which] as number),
      );
      const taken = table.take(place);
      held.add(taken.index);
      expect(taken.index).toBeGreaterThan(0);
      expect(taken.index).toBeLessThan(Math.min(rows, 256));
      expect(table.find(place)).toBe(taken);
      if (below(2) === 0 && !taken.leads) table.lead(taken, place);
      // What lies in the buffer.
      const words = row(taken.index);
      expect(words[1]).toBe(taken.tag);
      const mask = new Uint32Array(maskWords(VOCAB));
      const leads = new Int32Array(VOCAB);
      place.leads(mask, leads);
      expect(words.subarray(MASK_HEAD, MASK_HEAD + mask.length)).toEqual(mask);
      if (!taken.leads) continue;
      const to = new Uint8Array(words.slice(MASK_HEAD + mask.length).buffer);
      let [known, reach] = [0, 0];
      leads.forEach((next, token) => {
        const index = table.find({ grammar: place.grammar, place: next })?.index ?? 0;
        expect(to[token]).toBe(next === 0 ? 0 : index);
        if (next > 0) reach++;
        if (next > 0 && index > 0) known++;
      });
      expect([taken.known, taken.reach]).toEqual([known, reach]);
    }
    expect(held.size).toBe(Math.min(rows - 1, 39));
  });

  test("rows that were used last stay, and a place is written but once", () => {
    const below = random(1);
    const { buffer, writes } = bufferOf(20);
    const table = new MaskTable(buffer);
    const at = grammarOf(1, 30, below);
    const tags = [1, 2, 3].map((place) => table.take(at(place)).tag);
    for (let place = 4; place <= 30; place++) {
      table.take(at(place));
      expect([1, 2, 3].map((kept) => table.meet(at(kept))?.tag)).toEqual(tags);
    }
    expect(writes()).toBe(30);
    expect(table.find(at(4))).toBeUndefined();
    // Of a place that comes again the tag is another: who drew by the old row is told from who draws by the new.
    expect(table.take(at(4)).tag).toBe(31);
  });

  test("the first word of a row is the sampler's", () => {
    const { buffer, row } = bufferOf(8);
    for (let i = 0; i < 8; i++) row(i)[0] = 100 + i;
    const at = grammarOf(1, 30, random(2));
    for (let place = 1; place <= 30; place++) {
      const taken = tableIn(buffer).take(at(place));
      tableIn(buffer).lead(taken, at(place));
    }
    for (let i = 0; i < 8; i++) expect(row(i)[0]).toBe(100 + i);
    expect(
      row(0)
        .subarray(1)
        .every((word) => word === 0),
    ).toBe(true);
  });

  test("what nothing may follow gets no row", () => {
    const { buffer, writes } = bufferOf(8);
    const nothing: Place = {
      grammar: 1,
      place: 1,
      mask() {
        throw new RangeError("nothing");
      },
      leads() {},
    };
    expect(() => tableIn(buffer).take(nothing)).toThrow(RangeError);
    expect(tableIn(buffer).find(nothing)).toBeUndefined();
    expect(writes()).toBe(0);
  });

  test("a row is trusted as far as it was right", () => {
    const { buffer } = bufferOf(40);
    const table = tableIn(buffer);
    const at = grammarOf(1, 2, random(3));
    const row = table.take(at(1));
    expect(row.trust).toBe(0);
    table.lead(row, at(1));
    // Tokens that lead to the other place have nowhere to go.
    expect(row.trust).toBe(0.5);
    for (let i = 0; i < 8; i++) row.led(true);
    expect(row.trust).toBeCloseTo(0.9);
    row.led(false);
    expect(row.trust).toBeCloseTo(1 - 2 / 11);
    table.take(at(2));
    expect(row.trust).toBe(1);
    row.led(false);
    expect(row.trust).toBeLessThan(1);
  });
});
