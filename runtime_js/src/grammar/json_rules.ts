/** The parts of JSON's own grammar: strings, whitespace, any value. */
import {
  choice,
  complement,
  EMPTY,
  type Expression,
  intersect,
  limit,
  oneOf,
  optional,
  type Ranges,
  type Rules,
  repeat,
  rule,
  sequence,
  text,
} from "./expression.js";
import { NUMBER } from "./numbers.js";

const SURROGATES: Ranges = [[0xd800, 0xdfff]];
const CONTROLS: Ranges = [[0, 0x1f]];
const QUOTED: Ranges = [
  [0x22, 0x22],
  [0x5c, 0x5c],
];
/** What text can hold at all: a lone surrogate has no UTF-8. */
const SCALARS = complement(SURROGATES);
/** What a JSON string holds as it is. */
export const PLAIN = complement([...CONTROLS, ...QUOTED, ...SURROGATES]);
const HEX: Ranges = [
  [0x30, 0x39],
  [0x41, 0x46],
  [0x61, 0x66],
];

/** One character of `ranges` in plain text. */
export const plainCharacter = (ranges: Ranges): Expression => oneOf(intersect(ranges, SCALARS));

/** One character of `ranges` within a JSON string. */
export function stringCharacter(ranges: Ranges): Expression {
  const options: Expression[] = [oneOf(intersect(ranges, PLAIN))];
  for (const [from, to] of [...intersect(ranges, CONTROLS), ...intersect(ranges, QUOTED)]) {
    for (let code = from; code <= to; code++) {
      options.push(text(JSON.stringify(String.fromCodePoint(code)).slice(1, -1)));
    }
  }
  return options.length === 1 ? (options[0] as Expression) : choice(...options);
}

/** A JSON string of `body`. */
export const quoted = (body: Expression): Expression => sequence(text('"'), body, text('"'));

/** As much whitespace as an indented text needs, so that no answer is whitespace for ever. */
export const WS = rule("ws");
export const STRING = rule("string");
export const ANY_VALUE = rule("value");
const hex = oneOf(HEX);
/** One character of a string, escaped. */
const ESCAPE: Expression = sequence(
  text("\\"),
  choice(
    oneOf([...'"\\/bfnrt'].map((c): [number, number] => [c.charCodeAt(0), c.charCodeAt(0)])),
    sequence(
      text("u"),
      choice(
        // No half of a surrogate pair.
        sequence(
          oneOf([
            [0x30, 0x39],
            [0x41, 0x43],
            [0x45, 0x46],
            [0x61, 0x63],
            [0x65, 0x66],
          ]),
          repeat(hex, 3, 3),
        ),
        sequence(
          oneOf([
            [0x44, 0x44],
            [0x64, 0x64],
          ]),
          oneOf([[0x30, 0x37]]),
          repeat(hex, 2, 2),
        ),
      ),
    ),
  ),
);
/** One character of a string, escaped or not. */
const CHARACTER: Expression = choice(oneOf(PLAIN), ESCAPE);
/** Any characters of a string. The engine parses stars of one class faster than `CHARACTER*`. */
const CHARACTERS: Expression = sequence(
  repeat(oneOf(PLAIN), 0),
  repeat(sequence(ESCAPE, repeat(oneOf(PLAIN), 0)), 0),
);

/** From `min` to `max` characters of a string; where there is a most, an escape may count as several. */
export function characters(min: number, max: number, rules: Rules): Expression {
  if (max === min) return repeat(CHARACTER, min, max);
  if (max === Number.POSITIVE_INFINITY) return sequence(repeat(CHARACTER, min, min), CHARACTERS);
  const name = `characters-${max - min}`;
  rules.set(name, limit(CHARACTERS, max - min));
  return sequence(repeat(CHARACTER, min, min), rule(name));
}

/** One property. */
export const member = (key: Expression, value: Expression): Expression =>
  sequence(key, text(":"), WS, value);

/** Between items. */
export const COMMA = sequence(text(","), WS);

/**
 * From `min` to `max` items with commas between them, after `lead` if there are any. What has no end is a rule that begins anew with each
 * item, so that the grammar is at the same place in every one, and what is known of one item's masks is known of all.
 */
export function list(
  item: Expression,
  min: number,
  max: number,
  rules: Rules,
  lead: Expression = EMPTY,
): Expression {
  const more = Math.max(0, min - 1);
  let items = sequence(item, repeat(sequence(COMMA, item), more, max - 1));
  if (max === Number.POSITIVE_INFINITY) {
    const name = `l${rules.size}`;
    rules.set(name, sequence(item, optional(sequence(COMMA, rule(name)))));
    items = sequence(repeat(sequence(item, COMMA), more, more), rule(name));
  }
  const led = sequence(lead, items);
  return min > 0 ? led : optional(led);
}

export function jsonRules(): Rules {
  const rules: Rules = new Map<string, Expression>([
    [
      "ws",
      choice(
        text(""),
        text(" "),
        sequence(
          text("\n"),
          repeat(
            oneOf([
              [9, 9],
              [32, 32],
            ]),
            0,
            20,
          ),
        ),
      ),
    ],
    ["string", quoted(CHARACTERS)],
    [
      "value",
      choice(
        rule("object"),
        rule("array"),
        STRING,
        NUMBER,
        text("true"),
        text("false"),
        text("null"),
      ),
    ],
  ]);
  const any = (open: string, item: Expression, close: string) => {
    const items = list(item, 1, Number.POSITIVE_INFINITY, rules);
    return sequence(text(open), WS, optional(sequence(items, WS)), text(close));
  };
  rules.set("object", any("{", member(STRING, ANY_VALUE), "}"));
  rules.set("array", any("[", ANY_VALUE, "]"));
  return rules;
}
