/**
 * What may follow a text in a grammar of ours, found without the grammar engine: all ways to read the text are kept as lists of
 * what is still to come, and a character is tried on each. Slow, and simple enough to believe.
 */
import { type Expression, type Ranges, type Rules, repeat, text } from "../grammar/expression.js";

/** One expression that is to come and what comes after it; `limit` is the character at which an enclosing limit ends. */
interface Ahead {
  id: number;
  expression: Expression;
  then: Ahead | undefined;
  limit: number;
}

/** One character that can be read, and what is left then. */
interface Head {
  ranges: Ranges;
  then: Ahead | undefined;
  limit: number;
}

interface Place {
  heads: Head[];
  complete: boolean;
  /** Characters read, and the bytes of one that is cut. */
  characters: number;
  cut: readonly number[];
}

export class GrammarTwin {
  readonly #known = new Map<string, Ahead>();
  readonly #ids = new Map<Expression, number>();
  /** An expression that repeats leaves the same rest each time. */
  readonly #rests = new Map<string, Expression>();
  #place: Place;

  constructor(private readonly rules: Rules) {
    this.#place = this.#expand([this.#ahead({ kind: "rule", name: "root" }, undefined, 0)], 0);
  }

  get complete(): boolean {
    return this.#place.complete && this.#place.cut.length === 0;
  }

  /** Whether these bytes may come next. */
  allows(bytes: Uint8Array): boolean {
    return this.#read(bytes) !== undefined;
  }

  take(bytes: Uint8Array): void {
    const place = this.#read(bytes);
    if (!place) throw new Error(`the twin refuses ${new TextDecoder().decode(bytes)}`);
    this.#place = place;
  }

  #read(bytes: Uint8Array): Place | undefined {
    let place: Place = this.#place;
    for (const byte of bytes) {
      const cut = [...place.cut, byte];
      const range = codePoints(cut);
      if (!range) return undefined;
      const heads = this.#living(place).filter((head) => meets(head.ranges, range));
      if (heads.length === 0) return undefined;
      if (range[0] !== range[1] || cut.length < width(cut[0] as number)) {
        place = { ...place, cut };
        continue;
      }
      const characters = place.characters + 1;
      const next = this.#expand(
        heads.map((head) => head.then),
        characters,
      );
      place = next;
    }
    return place;
  }

  /** Where a limit has been reached, it ends what it can: those beyond it count only if there is nothing else. */
  #living({ heads, complete, characters }: Place): Head[] {
    const within = heads.filter((head) => head.limit > characters);
    return within.length > 0 || complete ? within : heads;
  }

  #expand(all: (Ahead | undefined)[], characters: number): Place {
    const heads: Head[] = [];
    let complete = false;
    const seen = new Set<number>();
    const open = [...all];
    while (open.length > 0) {
      const one = open.pop();
      if (!one) {
        complete = true;
        continue;
      }
      if (seen.has(one.id)) continue;
      seen.add(one.id);
      const { expression: e, then, limit } = one;
      switch (e.kind) {
        case "text": {
          const [first, ...rest] = e.text;
          if (first === undefined) open.push(then);
          else {
            const code = first.codePointAt(0) as number;
            const left = this.#rest(e, rest.length, () => text(rest.join("")));
            heads.push({ ranges: [[code, code]], then: this.#ahead(left, then, limit), limit });
          }
          break;
        }
        case "class":
          heads.push({ ranges: e.ranges, then, limit });
          break;
        case "sequence":
          open.push(e.parts.reduceRight((to, part) => this.#ahead(part, to, limit), then));
          break;
        case "choice":
          for (const option of e.options) open.push(this.#ahead(option, then, limit));
          break;
        case "repeat": {
          if (e.min === 0) open.push(then);
          if (e.max === 0) break;
          const [min, max] = [Math.max(0, e.min - 1), e.max - 1];
          const left =
            min === e.min && max === e.max ? e : this.#rest(e, max, () => repeat(e.body, min, max));
          open.push(this.#ahead(e.body, this.#ahead(left, then, limit), limit));
          break;
        }
        case "rule":
          open.push(this.#ahead(this.rules.get(e.name) as Expression, then, limit));
          break;
        case "limit":
          open.push(this.#ahead(e.body, then, Math.min(limit, characters + e.characters)));
      }
    }
    return { heads, complete, characters, cut: [] };
  }

  /** The same for the same parts; a limit of 0 is none. */
  #ahead(expression: Expression, then: Ahead | undefined, limit: number): Ahead {
    const ends = limit === 0 ? Number.POSITIVE_INFINITY : limit;
    const key = `${this.#id(expression)} ${then?.id ?? -1} ${ends}`;
    let known = this.#known.get(key);
    if (!known) {
      known = { id: this.#known.size, expression, then, limit: ends };
      this.#known.set(key, known);
    }
    return known;
  }

  #rest(of: Expression, left: number, make: () => Expression): Expression {
    const key = `${this.#id(of)} ${left} ${of.kind === "repeat" ? of.min : ""}`;
    let known = this.#rests.get(key);
    if (!known) {
      known = make();
      this.#rests.set(key, known);
    }
    return known;
  }

  #id(expression: Expression): number {
    const id = this.#ids.get(expression) ?? this.#ids.size;
    this.#ids.set(expression, id);
    return id;
  }
}

const meets = (ranges: Ranges, [low, high]: readonly [number, number]): boolean =>
  ranges.some(([from, to]) => from <= high && to >= low);

/** Bytes of a character by its first; 0: no character begins so. */
const width = (first: number): number =>
  first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;

/** The code points that begin with these bytes in UTF-8 (RFC 3629). */
function codePoints(bytes: readonly number[]): [number, number] | undefined {
  const [first, ...rest] = bytes as [number, ...number[]];
  const count = width(first);
  if (count === 0 || rest.some((byte) => (byte & 0xc0) !== 0x80)) return undefined;
  if (count === 1) return [first, first];
  const open = 6 * (count - bytes.length);
  const known = rest.reduce((code, byte) => code * 64 + (byte & 63), first & (0x7f >> count));
  const low = Math.max(known * 2 ** open, [0, 0, 0x80, 0x800, 0x10000][count] as number);
  const high = Math.min((known + 1) * 2 ** open - 1, 0x10ffff);
  return low > high ? undefined : [low, high];
}
