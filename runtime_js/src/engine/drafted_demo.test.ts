/** Guesses for the demo model, on Dawn: the same greedy tokens, the same distribution of drawn ones, and an end of what does not pay. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ChiSquare } from "../testing/chi_square.js";
import { answer, coarser, forgetful, hasDemo, loadDemo } from "../testing/demo_serving.js";
import type { LanguageModel } from "./language_model.js";
import type { Speculates } from "./request.js";

const QUESTIONS = [
  "Tell me a story.",
  "Say: harbour wheel Seattle harbour wheel Seattle",
  "Chloe works in London as a gardener. Extract name, job and city as JSON.",
  "What is 17 + 25?",
  // What it was not trained on, where the two differ.
  "What is 4711 / 815, and why?",
  "The sea in winter, in seven long lines.",
];

const WAYS: Speculates[] = [
  { tokens: 4, from: "prompt" },
  { tokens: 1, from: "draft" },
  { tokens: 4, from: "draft" },
  { tokens: 15, from: "draft" },
  { tokens: 6 },
  "auto",
];

/** Most tokens of a request whose draws count. */
const MOST = 4;
const END = `${new TextEncoder().encode("<|im_end|>")}`;

/** Draws of many requests, one per seed: what came after what, and what could have come how likely. */
class Draws {
  readonly #after = new Map<
    string,
    { drawn: Map<string, number>; probabilities: Map<string, number> }
  >();

  async collect(
    model: LanguageModel,
    prompt: string,
    {
      speculation,
      seeds,
      temperature = 1,
    }: { speculation: Speculates; seeds: number; temperature?: number },
  ): Promise<void> {
    const one = async (seed: number) => {
      const sampling = { temperature, seed, logprobs: 20 };
      const { tokens } = await answer(model, prompt, { maxTokens: MOST, speculation, sampling });
      let before = "";
      for (const { bytes, top } of tokens) {
        // The first one is drawn with the prompt, without a guess.
        if (before !== "") this.#add(before, `${bytes}`, top);
        before += `${bytes}|`;
      }
      // An end is drawn, and told by nothing else.
      if (before !== "" && tokens.length < MOST) this.#add(before, END, []);
    };
    await Promise.all(Array.from({ length: seeds }, (_, seed) => one(seed)));
  }

  #add(before: string, token: string, top: readonly { bytes: number[]; logprob: number }[]): void {
    const group = this.#after.get(before) ?? { drawn: new Map(), probabilities: new Map() };
    this.#after.set(before, group);
    // Exact at temperature 1: the raw logits' softmax.
    for (const { bytes, logprob } of top) group.probabilities.set(`${bytes}`, Math.exp(logprob));
    group.drawn.set(token, (group.drawn.get(token) ?? 0) + 1);
  }

  test(): ChiSquare {
    const chi = new ChiSquare();
    for (const { drawn, probabilities } of this.#after.values()) chi.add(drawn, probabilities);
    return chi;
  }
}

describe.skipIf(!hasDemo)("the demo model with a coarser one of itself as its draft", () => {
  let model: LanguageModel;
  beforeAll(async () => {
    model = await loadDemo(coarser());
  });
  afterAll(() => model?.unload());

  test("greedy tokens are the same, however they are guessed", async () => {
    for (const content of QUESTIONS) {
      const messages = [{ role: "user" as const, content }];
      const ids = async (speculation: Speculates) => {
        const { tokens } = await answer(model, messages, { maxTokens: 24, speculation });
        return tokens.map(({ bytes }) => bytes);
      };
      const plain = await ids("off");
      for (const way of WAYS) expect(await ids(way)).toEqual(plain);
    }
    const { draft } = model.stats().speculation;
    expect(draft.acceptanceRate).toBeGreaterThan(0.4);
    expect(draft.acceptanceRate).toBeLessThan(1);
  });

  test("with a seed, draft and target choose alike more often than with another's draws", async () => {
    const ask = (seed: number) => {
      const sampling = { temperature: 1, seed };
      const speculation: Speculates = { tokens: 4, from: "draft" };
      return answer(model, "Hello", { maxTokens: 24, speculation, sampling });
    };
    const before = model.stats().speculation.draft;
    for (let seed = 0; seed < 20; seed++) await ask(seed);
    const after = model.stats().speculation.draft;
    const rate = (after.accepted - before.accepted) / (after.guessed - before.guessed);
    // The likeliest token has a fifth of the mass here: two that draw apart would meet in less than a tenth.
    expect(rate).toBeGreaterThan(0.2);
  });

  test.each([
    ["a draft", "Hello", { tokens: 3, from: "draft" }],
    ["what the text repeats", "HelloHelloHelloHello", { tokens: 3, from: "prompt" }],
  ] as const)(
    "drawn tokens with guesses of %s have the target's distribution: χ², p = 0.001",
    async (_, prompt, speculation) => {
      const { guessed } = model.stats().speculation;
      const draws = new Draws();
      await draws.collect(model, prompt, { speculation, seeds: 800 });
      const chi = draws.test();
      expect(chi.freedom).toBeGreaterThan(10);
      expect(chi.statistic).toBeLessThan(chi.critical);
      expect(model.stats().speculation.guessed - guessed).toBeGreaterThan(1000);
      expect(model.stats().speculation.accepted).toBeGreaterThan(100);
    },
  );

  test("the test would see another temperature", async () => {
    const draws = new Draws();
    const speculation: Speculates = { tokens: 3, from: "draft" };
    await draws.collect(model, "Hello", { speculation, seeds: 800, temperature: 1.5 });
    const chi = draws.test();
    expect(chi.statistic).toBeGreaterThan(chi.critical);
  });
});

describe.skipIf(!hasDemo)("the demo model with a draft that has forgotten all", () => {
  test("the same greedy tokens, and auto hardly ever asks it", async () => {
    const model = await loadDemo(forgetful(), 1000);
    try {
      const messages = [{ role: "user" as const, content: "Tell me a story." }];
      const ids = async (speculation: Speculates, maxTokens: number) => {
        // No end, so that there is something to count.
        const sampling = { logitBias: [[2, -100]] as [number, number][] };
        const { tokens } = await answer(model, messages, { maxTokens, speculation, sampling });
        return tokens.map(({ bytes }) => bytes);
      };
      const plain = await ids("off", 60);
      expect(await ids({ tokens: 5, from: "draft" }, 60)).toEqual(plain);
      const before = model.stats().speculation.draft;
      expect(before.acceptanceRate).toBeLessThan(0.1);
      await ids("auto", 300);
      // At most five askings of 15 guesses: the first at once, then after 16, 48, 112 and 240 plain steps.
      expect(model.stats().speculation.draft.guessed - before.guessed).toBeLessThanOrEqual(75);
    } finally {
      model.unload();
    }
  });
});
