/** Guesses of a draft on a real device: two toy models, on Dawn. */
import { afterEach, describe, expect, test } from "vitest";
import { drawnToken } from "../testing/tiny_pack.js";
import {
  type Ask,
  expectClean,
  expectCrowdTwins,
  expectTwin,
  loadTiny,
  model,
  otherModel,
  random,
  randomAsk,
  repeating,
  servingPack,
  submit,
} from "../testing/tiny_serving.js";
import type { GenerateResult, Speculates } from "./request.js";

afterEach(() => model.unload());

const drafted = (tokens: number): Speculates => ({ tokens, from: "draft" });

const drafts = () => model.stats().speculation.draft;

describe("guesses of a draft", () => {
  test("its own model: all are right but those after the last token, in as many steps as that takes", async () => {
    await loadTiny(2, 512, servingPack(2, 512));
    const asked = submit({ content: "begin", maxTokens: 41, speculation: drafted(3) });
    const before = model.stats();
    await asked.done;
    expectTwin(asked);
    const { guessed, accepted } = drafts();
    expect([guessed, accepted]).toEqual([30, 30]);
    // The prompt's chunks; the first token; then four a step.
    const chunks = Math.ceil(
      model.prompts.render([{ role: "user", content: "begin" }]).tokens.length / 16,
    );
    expect(model.stats().steps - before.steps).toBe(chunks + 10);
    await expectClean([asked]);
  });

  test("another model, which is mostly wrong: the same tokens", async () => {
    await loadTiny(2, 512, otherModel(servingPack(2, 512)));
    const all = ["one", "two"].map((content) => {
      return submit({ content, maxTokens: 60, speculation: drafted(4) });
    });
    await Promise.all(all.map(({ done }) => done));
    for (const asked of all) expectTwin(asked);
    const { guessed, accepted } = drafts();
    expect(guessed).toBeGreaterThan(100);
    expect(accepted).toBeLessThan(guessed / 2);
    await expectClean(all);
  });

  test("drawn with a seed: the draft draws with the same one and the same indices, so all are right", async () => {
    await loadTiny(2, 512, otherModel(servingPack(2, 512)));
    const ask: Ask = { content: "draw", maxTokens: 60, seed: 7, speculation: drafted(5) };
    const asked = submit(ask);
    await asked.done;
    expectTwin(asked);
    expect(drawnToken(7, 0)).not.toBe(drawnToken(7, 1));
    const { guessed, accepted } = drafts();
    expect(guessed).toBeGreaterThan(40);
    expect(accepted).toBe(guessed);
    await expectClean([asked]);
  });

  test("of many requests at once, beside others, from whatever promises more: what each gets without", async () => {
    await loadTiny(8, 512, otherModel(servingPack(8, 512)));
    const below = random(3);
    const all = Array.from({ length: 32 }, (_, i) => {
      if (i % 4 === 0) return submit(randomAsk(below));
      const ask = repeating(below);
      if (i % 4 === 1) ask.speculation = drafted(1 + below(15));
      return submit(ask);
    });
    await Promise.all(all.map(({ done }) => done));
    for (const asked of all) expectTwin(asked);
    const { guessed, accepted, draft } = model.stats().speculation;
    expect(draft.accepted).toBeGreaterThan(10);
    expect(accepted).toBeGreaterThan(draft.accepted);
    expect(guessed).toBeGreaterThan(accepted);
    await expectClean(all);
  });

  test("while a full context slides: the same tokens, and all guesses are right", async () => {
    await loadTiny(2, 64, servingPack(2, 64));
    const ask: Ask = { content: "slide", maxTokens: 200, overflow: "slide" };
    const plain = submit(ask);
    await plain.done;
    expect(plain.settled).toMatchObject({ finishReason: "length" });
    const asked = submit({ ...ask, speculation: drafted(4) });
    await asked.done;
    expect(asked.text).toBe(plain.text);
    expect((asked.settled as GenerateResult).slides).toBeGreaterThan(3);
    const { guessed, accepted } = drafts();
    expect(accepted).toBe(guessed);
    expect(accepted).toBeGreaterThan(100);
    await expectClean([plain, asked]);
  });

  test("with a quarter of the pages they need, and aborts, tokens stay the same and nothing is left over", async () => {
    await loadTiny(8, 128, servingPack(8, 128));
    const below = random(11);
    const all = await expectCrowdTwins(below, (i) => {
      const ask = i % 2 === 0 ? repeating(below) : { ...randomAsk(below), penalty: 0 };
      if (below(3) > 0) ask.speculation = drafted(1 + below(15));
      return ask;
    });
    expect(model.stats().preemptions).toBeGreaterThan(0);
    expect(drafts().accepted).toBeGreaterThan(100);
    const next = submit({ content: "and now?", maxTokens: 20, speculation: drafted(3) });
    await next.done;
    expectTwin(next);
    await expectClean([...all, next]);
  });
});
