/** Answers that must match a grammar, on a GPU of numbers: masks, jumps, and what is left when they end. */
import { describe, expect, test } from "vitest";
import { GrammarError } from "../errors.js";
import { FakeRunner } from "../testing/fake_runner.js";
import {
  type Ask,
  type Asked,
  drain,
  expectClean,
  expectTwin,
  PAGE,
  playRandomly,
  random,
  randomAsk,
  randomWindow,
  submit,
  text,
  turns,
  twin,
  world,
} from "../testing/fake_serving.js";
import { PatternMatcher } from "../testing/pattern_matcher.js";

const prompt = [3, 1, 4, 1, 5];

describe("constrained answers", () => {
  test("match, and end when they are complete", async () => {
    const w = world();
    const all = [
      submit(w, { prompt, maxTokens: 20, grammar: { classes: "[ab][cd][ef][gh]" } }),
      submit(w, { prompt, maxTokens: 3, grammar: { classes: "[ab][cd][ef][gh]" } }),
      submit(w, { prompt, maxTokens: 30, eos: [7], grammar: { classes: "[xyz]", tail: "qrst" } }),
      submit(w, { prompt, maxTokens: 9, stop: ["d"], grammar: { classes: "[ab]", tail: "cd" } }),
    ];
    await drain(w);
    for (const asked of all) expectTwin(asked);
    expect(text(all[0] as Asked)).toMatch(/^[ab][cd][ef][gh]$/);
    expect(all.map(({ settled }) => settled)).toMatchObject([
      { finishReason: "stop", completionTokens: 4 },
      { finishReason: "length", completionTokens: 3 },
      {},
      {},
    ]);
    expect(w.scheduler.stats().constrained.masks).toBeGreaterThan(4);
    expectClean(w, all);
    expect(PatternMatcher.live).toBe(0);
  });

  test("the forward pass runs before the token before it is known, its draw only after", async () => {
    const w = world();
    const asked = submit(w, { prompt, maxTokens: 5, grammar: { classes: "[ab][ab][ab][ab][ab]" } });
    await turns();
    // The prompt's draw needs nobody's token; the second step is computed, and waits for it.
    expect([w.runner.steps, w.runner.halves, w.runner.underWay]).toEqual([2, 2, 1]);
    w.runner.arrive();
    await turns();
    expect([w.runner.steps, w.runner.halves, w.runner.underWay]).toEqual([3, 3, 1]);
    await drain(w);
    expectTwin(asked);
    expect(w.runner.steps).toBe(5);
    expectClean(w, [asked]);
  });

  test("where a grammar is known, steps run ahead as those of free answers", async () => {
    const w = world();
    const grammar = { classes: "[abc][def][ghi][jkl][mno]", tail: "pqr" };
    const halves: number[] = [];
    for (const first of [1, 2, 3, 4]) {
      const asked = submit(w, { prompt: [first, 7], maxTokens: 20, grammar });
      await drain(w);
      expectTwin(asked);
      halves.push(w.runner.halves);
      expectClean(w, [asked]);
    }
    const [learning, again, ...known] = halves.map((sum, i) => sum - (halves[i - 1] ?? 0));
    expect(learning).toBeGreaterThan(5);
    expect(again).toBeLessThan(learning as number);
    // The first draw of an answer names its mask.
    expect(Math.max(...known)).toBeLessThanOrEqual(3);
    const { aheadDraws, strayedDraws } = w.scheduler.stats().constrained;
    expect(aheadDraws).toBeGreaterThan(30);
    expect(strayedDraws).toBeLessThan(4);
  });

  test("a draw by a wrong mask is made again, whatever leads there", async () => {
    const w = world();
    const grammar = { classes: "[abc][def][ghi]", tail: "pqrstu", drawn: true };
    PatternMatcher.misleads = (id) => id % 5 === 0;
    try {
      for (let first = 1; first < 30; first++) {
        const penalty = first % 3 === 0 ? 1 : undefined;
        const ask = { prompt: [first], maxTokens: 20, grammar, ...(penalty ? { penalty } : {}) };
        const all = [submit(w, ask), submit(w, { prompt: [first, 3], maxTokens: 9, grammar })];
        await drain(w);
        for (const asked of all) expectTwin(asked);
        expectClean(w, all);
      }
    } finally {
      PatternMatcher.misleads = () => false;
    }
    const { aheadDraws, strayedDraws } = w.scheduler.stats().constrained;
    expect(aheadDraws).toBeGreaterThan(100);
    expect(strayedDraws).toBeGreaterThan(20);
  });

  test.each([
    [1, [false, false, true, true, true]], // the prompt's, and one before anything is known
    [20, [false, false, false, false, false]],
  ])("results of short steps are hurried (%i ms each)", async (took, hurried) => {
    const w = world();
    const asked = submit(w, { prompt, maxTokens: 5, grammar: { classes: "[ab][ab][ab][ab][ab]" } });
    for (let i = 0; i < 5; i++) {
      await turns();
      w.time.now += took;
      w.runner.arrive();
    }
    await drain(w);
    expectTwin(asked);
    expect(w.runner.hurried).toEqual(hurried);
  });

  test("whoever is free shares their steps, and runs ahead again when they are gone", async () => {
    const w = world();
    const free = submit(w, { prompt, maxTokens: 30 });
    const bound = submit(w, {
      prompt: [2],
      maxTokens: 6,
      grammar: { classes: "[abc]", tail: "cdef" },
    });
    await drain(w);
    for (const asked of [free, bound]) expectTwin(asked);
    expect(w.runner.halves).toBeLessThan(10);
    expect(w.runner.steps).toBeLessThan(36);
    expectClean(w, [free, bound]);
  });

  test("forced tokens take no step each, and are the same", async () => {
    const classes = "abcdefg[xyz]hijklmn[xyz]op";
    const steps: number[] = [];
    for (const drawn of [true, false]) {
      const w = world();
      const asked = submit(w, { prompt, maxTokens: 40, grammar: { classes, drawn } });
      await drain(w);
      expectTwin(asked);
      expect(asked.settled).toMatchObject({ finishReason: "stop", completionTokens: 18 });
      expect(asked.deltas.reduce((sum, { tokens }) => sum + tokens, 0)).toBe(18);
      const { drawnTokens, constrained } = w.scheduler.stats();
      expect(drawnTokens).toBe(18);
      expect(constrained.jumpedTokens).toBe(drawn ? 0 : 12);
      steps.push(w.runner.steps);
      expectClean(w, [asked]);
    }
    // One more than is of use: it is submitted before the last token is known.
    expect(steps).toEqual([19, 8]);
  });

  test("forced tokens count for penalties, stop strings, lengths and windows", async () => {
    const grammar = { classes: "abcdefgh[xyz]ijklmnop[xyz]", tail: "abcxyz" };
    const asks: Ask[] = [
      { prompt, maxTokens: 30, penalty: 1, grammar },
      { prompt, maxTokens: 30, stop: ["de"], grammar },
      { prompt, maxTokens: 4, grammar },
      { prompt, maxTokens: 30, window: { length: 9, sinks: 2 }, grammar },
    ];
    for (const ask of asks) {
      const w = world();
      const all = [submit(w, ask), submit(w, { prompt: [9], maxTokens: 20, penalty: 1 })];
      await drain(w);
      for (const asked of all) expectTwin(asked);
      expectClean(w, all);
    }
  });

  test("nothing is guessed in their steps, and again after them", async () => {
    const w = world();
    const speculation = { tokens: 4 } as const;
    const all = [
      submit(w, { prompt, maxTokens: 60, speculation }),
      submit(w, { prompt, maxTokens: 9, speculation, grammar: { classes: "", tail: "abcd" } }),
    ];
    await drain(w);
    for (const asked of all) expectTwin(asked);
    expectClean(w, all);
  });

  test("a token that nothing allows is told by name, and frees everything", async () => {
    const w = world();
    const asked = submit(w, { prompt, maxTokens: 9, grammar: { classes: "[ab]é[ab]" } });
    const other = submit(w, { prompt: [2], maxTokens: 9 });
    await drain(w);
    expect(asked.settled).toMatchObject({ name: "GrammarError" });
    expectTwin(other);
    expectClean(w, [asked, other]);
    expect(PatternMatcher.live).toBe(0);
  });

  test.each(["place", "leads"] as const)(
    "a grammar engine that can't tell %s fails the answers that ask it, and nobody else",
    async (question) => {
      let last = -1;
      for (let fails = true; fails; ) {
        const w = world();
        let asked = 0;
        last++;
        PatternMatcher.fails = (of) =>
          of === question && ++asked > last ? new GrammarError("no memory") : undefined;
        try {
          const grammar = { classes: "[ab][cd][ef][gh]", tail: "qrst" };
          const held = submit(w, { prompt, maxTokens: 20, grammar });
          const free = submit(w, { prompt: [2], maxTokens: 30 });
          await drain(w);
          fails = asked > last;
          expect(held.settled, `after ${last}`).toMatchObject(
            fails ? { name: "GrammarError" } : { completionTokens: 20 },
          );
          expectTwin(free);
          expectClean(w, [held, free]);
        } finally {
          PatternMatcher.fails = () => undefined;
        }
      }
      expect(last).toBeGreaterThan(2);
      expect(PatternMatcher.live).toBe(0);
    },
  );

  test("a listener that throws while forced tokens are told fails its own request", async () => {
    const w = world();
    for (const classes of ["abcdefgh", "[ab]abcdefgh"]) {
      const other = submit(w, { prompt: [2], maxTokens: 9 });
      const asked = submit(w, { prompt, maxTokens: 20, grammar: { classes } }, ({ deltas }) => {
        if (deltas.length === 3) throw new Error("the page's own");
      });
      await drain(w);
      expect(asked.settled).toMatchObject({ message: "the page's own" });
      expectTwin(other);
      expectClean(w, [asked, other]);
    }
  });

  test("a lost device: they go on where they were", async () => {
    for (let after = 0; after < 8; after++) {
      const w = world();
      const grammar = { classes: "[ab][cd]efghij[kl][mn]", tail: "opq" };
      const all = [
        submit(w, { prompt, maxTokens: 16, grammar }),
        submit(w, { prompt: [8, 8], maxTokens: 12 }),
      ];
      for (let i = 0; i < after; i++) {
        await turns();
        w.runner.arrive();
      }
      w.scheduler.suspend(new Error("lost"));
      const runner = new FakeRunner(w.scheduler.kv.pool, PAGE, 4, 16);
      w.scheduler.resume(runner);
      await drain({ ...w, runner });
      for (const asked of all) expectTwin(asked);
      expect(w.scheduler.used).toEqual({ slots: 0, steps: 0 });
    }
    expect(PatternMatcher.live).toBe(0);
  });

  test("random requests beside others, aborts, preemption: tokens as alone, and nothing left behind", async () => {
    let preemptions = 0;
    let jumped = 0;
    let aborted = 0;
    let [ahead, strayed] = [0, 0];
    for (let seed = 0; seed < 30; seed++) {
      const below = random(seed + 500);
      // Some come again and again.
      const patterns = [randomPattern(below), randomPattern(below)];
      PatternMatcher.misleads = seed % 2 === 0 ? () => false : (id) => (id + seed) % 9 === 0;
      const size = { pages: 16 + below(8) ** 2, slots: 1 + below(6), chunk: 4 + below(20) };
      const w = world(size);
      const ask = () => {
        const ask = randomAsk(below);
        if (below(3) > 0) {
          ask.grammar = patterns[below(4)] ?? randomPattern(below);
          // Of two tokens of a letter: the other can still be drawn.
          if (ask.eos) ask.eos = [26 + below(14)];
          if (below(4) === 0) ask.window = randomWindow(ask.prompt.length, below);
        }
        return ask;
      };
      const all = await playRandomly(w, below, ask, { deltas: 5, oneIn: 3 });
      for (const asked of all) {
        if (asked.settled instanceof Error) {
          expect(asked.settled.name).toBe("AbortError");
          expect(twin(asked.ask).text.startsWith(text(asked))).toBe(true);
          aborted++;
        } else expectTwin(asked);
      }
      const stats = w.scheduler.stats();
      preemptions += stats.preemptions;
      jumped += stats.constrained.jumpedTokens;
      ahead += stats.constrained.aheadDraws;
      strayed += stats.constrained.strayedDraws;
      expectClean(w, all);
    }
    PatternMatcher.misleads = () => false;
    // Otherwise this tested less than it says.
    expect(preemptions).toBeGreaterThan(10);
    expect(jumped).toBeGreaterThan(100);
    expect(ahead).toBeGreaterThan(100);
    expect(strayed).toBeGreaterThan(10);
    expect(aborted).toBeGreaterThan(20);
  }, 60_000);
});

/** Letters, some of them forced, and at times what may go on for ever. */
function randomPattern(below: (n: number) => number) {
  let classes = "";
  for (let i = 1 + below(12); i > 0; i--) {
    const letter = () => String.fromCharCode(97 + below(26));
    classes += below(3) === 0 ? `[${letter()}${letter()}${letter()}]` : letter();
  }
  return { classes, ...(below(2) === 0 ? { tail: "abcdefgh" } : {}), drawn: below(4) === 0 };
}
