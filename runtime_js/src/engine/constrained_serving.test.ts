/** Answers that must match a grammar, on a real device: the toy model, on Dawn. */
import { afterEach, expect, test } from "vitest";
import { PatternMatcher } from "../testing/pattern_matcher.js";
import {
  type Ask,
  expectClean,
  expectCrowdTwins,
  expectTwin,
  loadTiny,
  model,
  random,
  randomAsk,
  submit,
} from "../testing/tiny_serving.js";
import type { GenerateRequest } from "./request.js";
import { GREEDY } from "./sampling.js";

afterEach(() => model.unload());

const CHOICE = "[abcdefghijklmnopqrstuvwxyz]";

test("a token takes a write and a submit, those at new places more, and creates nothing; the forward pass is not held up", async () => {
  await loadTiny(8, 512);
  const ask: Ask = { content: "warm", maxTokens: 30, grammar: CHOICE.repeat(40) };
  await submit(ask).done;
  // Alone, answers of this grammar after the one that met its places; on a busy machine some results are there before the
  // host would draw ahead of them.
  let mostAhead = 0;
  for (const beside of [0, 0, 0, 0, 0, 3]) {
    const before = model.stats();
    const all = Array.from({ length: 1 + beside }, (_, i) => {
      return submit({ ...ask, content: `${String.fromCharCode(65 + i)} other`, maxTokens: 30 + i });
    });
    await Promise.all(all.map(({ done }) => done));
    for (const asked of all) expectTwin(asked);
    await expectClean(all);
    const after = model.stats();
    const since = (name: "steps" | "submits" | "writeBuffers") => after[name] - before[name];
    const masks = after.constrained.masks - before.constrained.masks;
    const ahead = after.constrained.aheadDraws - before.constrained.aheadDraws;
    if (beside === 0) mostAhead = Math.max(mostAhead, ahead);
    expect(masks + ahead).toBeGreaterThanOrEqual(30 + beside);
    expect(since("submits")).toBe(since("steps") + masks);
    // Of a place that is met for the first time a row, and where its tokens lead.
    expect(since("writeBuffers")).toBeLessThanOrEqual(since("steps") + masks + 2 * masks);
    expect(since("writeBuffers")).toBeGreaterThanOrEqual(since("steps") + masks);
    for (const name of ["createdBuffers", "createdBindGroups", "createdPipelines"] as const) {
      expect(after[name]).toBe(before[name]);
    }
  }
  expect(mostAhead).toBeGreaterThan(15);
  expect(PatternMatcher.live).toBe(0);
});

test("steps without such answers are as they were beside ended ones: one submit each", async () => {
  await loadTiny(8, 512);
  await submit({ content: "a", maxTokens: 8, grammar: "[xy]" }).done;
  const before = model.stats();
  await submit({ content: "b", maxTokens: 20 }).done;
  await model.executor.idle();
  const after = model.stats();
  expect(after.submits - before.submits).toBe(after.steps - before.steps);
  expect(after.pokes).toBe(before.pokes);
});

test("forced tokens take fewer steps, and are the same", async () => {
  await loadTiny(2, 512);
  const grammar = `{"name": "${CHOICE}${CHOICE}", "age": [0123456789]}`;
  const asked = submit({ content: "a", maxTokens: 60, grammar });
  await asked.done;
  expectTwin(asked);
  expect(JSON.parse(asked.text)).toMatchObject({ name: expect.any(String) });
  expect(asked.settled).toMatchObject({ finishReason: "stop", completionTokens: 24 });
  const { constrained, drawnTokens, steps } = model.stats();
  expect(constrained.jumpedTokens).toBe(18);
  expect(drawnTokens).toBe(24);
  expect(steps).toBeLessThan(14);
  await expectClean([asked]);
});

test("penalties see forced tokens, and those of the prompt", async () => {
  await loadTiny(2, 512);
  const grammar = `abcdefgh${CHOICE}ijklmnop${CHOICE}*`;
  const all = [
    submit({ content: "some prompt", maxTokens: 40, penalty: 3, grammar }),
    submit({ content: "some other prompt", maxTokens: 40, penalty: 3 }),
  ];
  await Promise.all(all.map(({ done }) => done));
  for (const asked of all) expectTwin(asked);
  await expectClean(all);
});

test("a crowd of mixed requests, aborts, and a quarter of the pages they need: each gets what it gets alone", async () => {
  await loadTiny(8, 128);
  const below = random(23);
  const all = await expectCrowdTwins(below, () => {
    const ask = randomAsk(below);
    if (below(3) === 0) return ask;
    const grammar = ["abc", CHOICE, "[01]", "defgh", `${CHOICE}xyz`].slice(below(5)).join("");
    return { ...ask, grammar: below(2) === 0 ? grammar : `${grammar}*` };
  });
  expect(model.stats().preemptions).toBeGreaterThan(0);
  expect(model.stats().constrained.jumpedTokens).toBeGreaterThan(20);
  await expectClean(all);
  expect(PatternMatcher.live).toBe(0);
}, 60_000);

test("a grammar that can't be is refused before anything is computed", async () => {
  await loadTiny(2, 64);
  const before = model.stats().steps;
  const request: GenerateRequest = {
    messages: "a",
    maxTokens: 4,
    stop: [],
    sampling: GREEDY,
    grammar: { kind: "ebnf", grammar: "" },
  };
  const never = new AbortController().signal;
  const accepted: number[] = [];
  const listener = { accepted: (tokens: number) => accepted.push(tokens), delta: () => {} };
  const answer = model.generate(request, listener, never);
  await expect(answer).rejects.toMatchObject({ name: "GrammarError" });
  expect(accepted).toEqual([]);
  expect(model.stats().steps).toBe(before);
});
