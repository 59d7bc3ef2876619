/** Whether two tokenizers have the same tokens. */

/**
 * Why a draft's tokens are not its target's, of two tokenizer.json; undefined when each token has one id in both.
 *
 * @param names of the two models
 */
export function vocabularyProblem(
  target: unknown,
  draft: unknown,
  names: { target: string; draft: string },
): string | undefined {
  const [a, b] = [vocabularyOf(target), vocabularyOf(draft)];
  const wrong = [...a.keys(), ...b.keys()].find((token) => a.get(token) !== b.get(token));
  if (wrong === undefined) return undefined;
  return (
    `${names.draft} can't draft for ${names.target}: the token ${JSON.stringify(wrong)} is ${a.get(wrong) ?? "none"} there and ` +
    `${b.get(wrong) ?? "none"} here; a draft must have the target's tokenizer, so take a smaller model of the same family`
  );
}

/** Ids by token, of a tokenizer.json. */
function vocabularyOf(tokenizer: unknown): Map<string, number> {
  const { model, added_tokens: added = [] } = tokenizer as {
    model?: { vocab?: Record<string, number> | [string, number][] };
    added_tokens?: { id: number; content: string }[];
  };
  const vocab = model?.vocab ?? {};
  const ids = Array.isArray(vocab)
    ? vocab.map(([token], id): [string, number] => [token, id])
    : Object.entries(vocab);
  return new Map([...ids, ...added.map(({ content, id }): [string, number] => [content, id])]);
}
