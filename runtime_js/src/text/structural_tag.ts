/** Parts of an answer's form, in XGrammar's structural tag format. */

export type Format = { type: string; [key: string]: unknown };

export const text = (value: string): Format[] =>
  value === "" ? [] : [{ type: "const_string", value }];

export const sequence = (...elements: Format[]): Format =>
  elements.length === 1 ? (elements[0] as Format) : { type: "sequence", elements };

export const oneOf = (elements: Format[]): Format =>
  elements.length === 1 ? (elements[0] as Format) : { type: "or", elements };

export const regex = (pattern: string): Format => ({ type: "regex", pattern });

export const star = (...elements: Format[]): Format => ({
  type: "star",
  content: sequence(...elements),
});

export const optional = (...elements: Format[]): Format => ({
  type: "optional",
  content: sequence(...elements),
});
