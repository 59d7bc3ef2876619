import type { Engine } from "webbuild";

type Vector = number[];

/** The texts, most like the query first; similarity is the cosine of their vectors, at most 1. */
export type Search = (query: string) => Promise<{ text: string; similarity: number }[]>;

/** Embeds the texts, once for all queries. */
export async function searchOf({ embeddings }: Engine, texts: string[]): Promise<Search> {
  const embed = async (input: string[]): Promise<Vector[]> => {
    const { data } = await embeddings.create({ input, webbuild: { normalize: true } });
    return data.map(({ embedding }) => embedding);
  };
  const vectors = await embed(texts);
  return async (query) => {
    const [wanted = []] = await embed([query]);
    return vectors
      .map((vector, i) => ({ text: texts[i] ?? "", similarity: product(wanted, vector) }))
      .sort((a, b) => b.similarity - a.similarity);
  };
}

/** The cosine of vectors of length 1. */
const product = (a: Vector, b: Vector) => a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0);
