import { describe, expect, test, vi } from "vitest";
import type { Sequence } from "../kv/sequence.js";
import { FAKE_VOCAB, fakeRepeats } from "../testing/fake_runner.js";
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
  submit,
  text,
  turns,
  twin,
  world,
} from "../testing/fake_serving.js";
import { AGEING_MS } from "./rank.js";
import { MAX_AHEAD, RunAhead } from "./run_ahead.js";
import type { GenerationResult } from "./scheduler.js";

describe("Scheduler", () => {
  test("pages that are cached and to be held as well are none to spare", async () => {
    const w = world({ pages: 16 });
    const sequence = w.kv.take(40) as Sequence;
    w.kv.keep(
      sequence,
      Int32Array.from({ length: 40 }, (_, i) => i % 7),
    );
    sequence.release();
    const asked = submit(w, { prompt: [1, 2, 3], maxTokens: 4 });
    await turns();
    const cached = w.kv.take(0) as Sequence;
    cached.adopt(w.kv.tree.match(Int32Array.from({ length: 40 }, (_, i) => i % 7)));
    expect([w.scheduler.spares(10), w.scheduler.spares(10, cached)]).toEqual([true, false]);
    expect(w.scheduler.spares(2, cached)).toBe(true);
    cached.release();
    await drain(w);
    expectClean(w, [asked]);
  });

  test("many mixed requests at once get what each gets alone, in shared steps", async () => {
    const w = world({ slots: 4 });
    const below = random(1);
    const all = Array.from({ length: 32 }, () => submit(w, randomAsk(below)));
    await drain(w);
    for (const asked of all) expectTwin(asked);
    const { meanBatch, cache, stepMs, sums } = w.scheduler.stats();
    expect(meanBatch).toBeGreaterThan(2);
    expect(sums.batch / sums.steps).toBe(meanBatch);
    expect(cache.cachedTokens / sums.askedTokens).toBe(cache.hitRate);
    expect(sums.waitMs / sums.steps).toBe(stepMs.wait);
    expectClean(w, all);
  });

  test("prompts and decodes share a step", async () => {
    const w = world({ chunk: 8 });
    const first = submit(w, { prompt: [1, 2, 3], maxTokens: 12 });
    await turns();
    w.runner.arrive();
    await turns();
    const second = submit(w, { prompt: Array.from({ length: 12 }, (_, i) => i), maxTokens: 4 });
    await drain(w);
    expect(w.runner.sizes).toContainEqual([1, 7]);
    expect(w.runner.sizes).toContainEqual([1, 1]);
    expectTwin(first);
    expectTwin(second);
    expectClean(w, [first, second]);
  });

  test("random submissions, aborts, stops and priorities leave nothing behind", async () => {
    let preemptions = 0;
    let cached = 0;
    let slides = 0;
    let aborted = 0;
    for (let seed = 0; seed < 40; seed++) {
      const below = random(seed);
      // From room for the longest alone to room for four of them.
      const w = world({ pages: 16 + below(8) ** 2, slots: 1 + below(6), chunk: 4 + below(20) });
      w.runner.unready.add("sample");
      const all = await playRandomly(w, below, () => randomAsk(below), { deltas: 2, oneIn: 8 });
      for (const asked of all) {
        if (asked.settled instanceof Error) {
          expect(asked.settled.name).toBe("AbortError");
          expect(twin(asked.ask).text.startsWith(text(asked))).toBe(true);
          aborted++;
        } else {
          expectTwin(asked);
          slides += asked.settled?.slides ?? 0;
        }
      }
      const next = submit(w, randomAsk(below));
      await drain(w);
      expectTwin(next);
      const stats = w.scheduler.stats();
      preemptions += stats.preemptions;
      cached += stats.cache.cachedTokens;
      expect(stats.requests).toBe(all.length + 1);
      expectClean(w, [...all, next]);
    }
    // Otherwise this tested less than it says.
    expect(preemptions).toBeGreaterThan(20);
    expect(slides).toBeGreaterThan(100);
    expect(cached).toBeGreaterThan(1000);
    expect(aborted).toBeGreaterThan(20);
  }, 60_000);

  test("when pages run out the last in rank gives way and goes on with the same tokens, draws and penalties", async () => {
    const w = world({ pages: 12, slots: 3 });
    const asks = [0, 1, 2].map((seed) => ({
      prompt: [seed, 5, 6],
      maxTokens: 30,
      seed,
      penalty: 1,
      bias: seed,
    }));
    const all = asks.map((ask) => submit(w, ask));
    await drain(w);
    for (const asked of all) expectTwin(asked);
    expect(w.scheduler.stats().preemptions).toBeGreaterThan(0);
    // The first was never asked to give way: it ended before the others, which waited for its pages.
    expect(all[0]?.deltas.length).toBeGreaterThanOrEqual(30);
    expectClean(w, all);
  });

  test("what alone exceeds the pool ends for its length, after all the tokens that fit", async () => {
    const w = world({ pages: 3 });
    const asked = submit(w, { prompt: [1, 2, 3], maxTokens: 50 });
    await drain(w);
    // Ten positions drawn from, and the last draw is not written anywhere.
    expect(asked.settled).toMatchObject({ finishReason: "length", completionTokens: 10 });
    expect(twin(asked.ask).text.startsWith(text(asked))).toBe(true);
    expectClean(w, [asked]);
  });

  test("a full context goes on with the first and the newest tokens, of which only the newest are computed again", async () => {
    const w = world({ chunk: 4 });
    const window = { length: 16, sinks: 3 };
    const asked = submit(w, { prompt: [1, 2, 3, 4, 5], maxTokens: 30, window, penalty: 1 });
    await drain(w);
    expectTwin(asked);
    // Full after 11 tokens, and then, with 3 + 6 that are left, after each 7.
    expect(asked.settled).toMatchObject({ completionTokens: 30, slides: 3 });
    expect(w.runner.tokens).toBe(5 + 10 + (6 + 6) + (6 + 6) + (6 + 4));
    expectClean(w, [asked]);
  });

  test("windows of requests that are preempted stay where they are, and so do the draws", async () => {
    const w = world({ slots: 1 });
    const window = { length: 16, sinks: 2 };
    const asked = submit(w, { prompt: [3, 5, 6], maxTokens: 90, penalty: 1, bias: 4, window });
    const urgent: Asked[] = [];
    for (let i = 0; i < 12; i++) {
      for (let step = 0; step < 5; step++) {
        await turns();
        w.runner.arrive();
      }
      urgent.push(submit(w, { prompt: [9, i], maxTokens: 2, priority: 2 }));
    }
    await drain(w);
    for (const each of [asked, ...urgent]) expectTwin(each);
    expect(asked.settled).toMatchObject({ slides: 11 });
    expect(w.scheduler.stats().preemptions).toBeGreaterThan(5);
    expectClean(w, [asked, ...urgent]);
  });

  test("a window over a context of two tokens slides with each", async () => {
    const w = world();
    const asked = submit(w, { prompt: [7], maxTokens: 5, window: { length: 2, sinks: 1 } });
    await drain(w);
    expectTwin(asked);
    expect(asked.settled).toMatchObject({ completionTokens: 5, slides: 4 });
    expectClean(w, [asked]);
  });

  test("a context that fills the pool finds room, whatever is cached", async () => {
    const w = world({ pages: 4 });
    const prompt = [1, 2, 3, 4, 5, 6, 7, 8];
    // The second prompt's last token is computed anew, so its page is the cached one's double.
    const first = submit(w, { prompt, maxTokens: 1 });
    await drain(w);
    const second = submit(w, { prompt, maxTokens: 9 });
    await drain(w);
    expect(second.settled).toMatchObject({ cachedTokens: 7 });
    expectTwin(second);
    expectClean(w, [first, second]);
  });

  test("the common beginning of several prompts is computed once, even if all come at once", async () => {
    const w = world({ slots: 8, chunk: 16 });
    const prompt = Array.from({ length: 30 }, (_, i) => i);
    const all = [0, 1, 2, 3, 4].map((seed) => submit(w, { prompt, seed, maxTokens: 3 }));
    await drain(w);
    for (const asked of all) expectTwin(asked);
    const reused = all.map(({ settled }) => (settled as GenerationResult).cachedTokens);
    expect(reused).toEqual([0, 28, 28, 28, 28]);
    // 30 once, the 2 after the last whole page of the others, and two decodes each.
    expect(w.runner.tokens).toBe(30 + 4 * 2 + 5 * 2);
    expect(w.scheduler.stats().cache.hitRate).toBeCloseTo(112 / 150);
    const again = submit(w, { prompt: [...prompt, 9], maxTokens: 1 });
    await drain(w);
    expect(again.settled).toMatchObject({ cachedTokens: 30 });
    expectTwin(again);
    expectClean(w, [...all, again]);
  });

  test("whoever comes first waits for nobody behind it to compute the same beginning", async () => {
    const w = world({ slots: 16, chunk: 8, pages: 256 });
    const shared = Array.from({ length: 60 }, (_, i) => (i * 7) % FAKE_VOCAB);
    const late = submit(w, { prompt: [...shared, 1], maxTokens: 1 });
    const all = [late];
    // Short prompts, which go before what is left of the long one.
    const next = async (priority: number, prompt: number[]) => {
      all.push(submit(w, { prompt, priority, maxTokens: 1 }));
      await turns();
      w.runner.arrive();
      return all.at(-1) as Asked;
    };
    for (let i = 0; i < 4; i++) await next(1, [i, 1, 2, 3, 4, 5, 6, 7]);
    const first = await next(2, [...shared, 2]);
    for (let i = 4; i < 40; i++) await next(1, [i, 1, 2, 3, 4, 5, 6, 7]);
    await turns();
    expect([late.settled, first.settled]).toEqual([undefined, expect.anything()]);
    await drain(w);
    for (const asked of all) expectTwin(asked);
    expectClean(w, all);
  });

  test("priority goes first, and whoever has waited long enough before it", async () => {
    const w = world({ slots: 1 });
    const order: number[] = [];
    const named = (priority: number) => {
      const asked = submit(w, { prompt: [1], maxTokens: 2, priority });
      void asked.done.then(() => order.push(priority));
      return asked;
    };
    const all = [named(0), named(-1)];
    await turns();
    w.time.now = 2.5 * AGEING_MS;
    all.push(named(1), named(2));
    await drain(w);
    expect(order).toEqual([0, 2, -1, 1]);
    expectClean(w, all);
  });

  test("a point of priority takes a slot, or pages, from one who runs; less does not", async () => {
    for (const size of [
      { slots: 2, pages: 64 },
      { slots: 8, pages: 8 },
    ]) {
      const w = world(size);
      const order: string[] = [];
      const named = (name: string, priority: number, seed: number) => {
        const asked = submit(w, { prompt: [seed, 2, 3], maxTokens: 10, priority, seed });
        void asked.done.then(() => order.push(name));
        return asked;
      };
      const all = [named("a", 0, 1), named("b", 0, 2)];
      await turns();
      w.time.now = 100;
      all.push(named("same", 0.005, 3), named("high", 1, 4));
      await turns();
      w.runner.arrive();
      await drain(w);
      for (const asked of all) expectTwin(asked);
      expect(w.scheduler.stats().preemptions).toBeGreaterThan(0);
      expect(order).toEqual(["a", "high", "b", "same"]);
      expectClean(w, all);
    }
  });

  test.each(Array.from({ length: MAX_AHEAD }, (_, i) => i + 1))(
    "depth %i: the same answers, at most so many surplus steps",
    async (depth) => {
      const spy = vi.spyOn(RunAhead.prototype, "depth", "get").mockReturnValue(depth);
      const w = world();
      const stop = twin({ prompt: [3, 4], maxTokens: 20 }).text.slice(8, 10);
      const asked = submit(w, { prompt: [3, 4], maxTokens: 20, stop: [stop] });
      await drain(w);
      spy.mockRestore();
      expectTwin(asked);
      const { completionTokens } = asked.settled as GenerationResult;
      expect(w.runner.steps).toBe(completionTokens + depth - 1);
      expectClean(w, [asked]);
    },
  );

  test("the page's share: one step at a time, a pause after each, short chunks; the same answers", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const w = world({ chunk: 128, pages: 256 });
    w.scheduler.page.set(3);
    const long = Array.from({ length: 100 }, (_, i) => i % FAKE_VOCAB);
    const all = [submit(w, { prompt: long }), submit(w, { prompt: [1, 2], maxTokens: 20 })];
    let pause = 0;
    for (let i = 0; !w.scheduler.idle || w.runner.underWay > 0; i++) {
      expect(i, "something hangs").toBeLessThan(5000);
      await turns();
      expect(w.runner.underWay).toBeLessThanOrEqual(1);
      if (w.runner.underWay === 1) {
        w.runner.arrive();
        pause = 0;
        await turns();
      }
      // Nothing runs until its time is over.
      if (pause < 3) expect(w.runner.underWay).toBe(0);
      pause++;
      w.time.now++;
      vi.advanceTimersByTime(1);
    }
    vi.useRealTimers();
    for (const asked of all) expectTwin(asked);
    // Before anything is measured a step has 64 tokens of prompts.
    expect(Math.max(...w.runner.sizes.map((sizes) => sizes.reduce((a, b) => a + b, 0)))).toBe(64);
    expectClean(w, all);
  });

  test("an abort rejects at once, before results that have arrived, and touches nobody else", async () => {
    const w = world();
    const [a, b, waits] = [0, 1, 2].map((seed) => submit(w, { prompt: [1, 2], seed }));
    await turns();
    w.runner.arrive();
    a?.controller.abort(new Error("enough"));
    waits?.controller.abort();
    await turns();
    for (const asked of [a, waits]) expect(asked?.settled).toMatchObject({ name: "AbortError" });
    expect(a?.deltas).toEqual([]);
    await drain(w);
    expectTwin(b as Asked);
    expectClean(w, [a, b, waits] as Asked[]);
  });

  test("kernels that do not compile fail those who need them, and nobody else", async () => {
    const w = world();
    w.runner.unready.add("sample");
    w.runner.prepareError = new Error("does not compile");
    const failed = submit(w, { prompt: [1, 2] });
    await drain(w);
    expect(failed.settled).toMatchObject({ message: "does not compile" });
    w.runner.prepareError = undefined;
    const fine = submit(w, { prompt: [1, 2] });
    await drain(w);
    expectTwin(fine);
    expectClean(w, [failed, fine]);
  });

  test("kernels that steps can do without are compiled beside them, once, and never missed", async () => {
    const w = world();
    const { runner } = w;
    runner.missing = () => ["decode:seqs4"];
    const prepare = vi.spyOn(runner, "prepare").mockRejectedValue(new Error("does not compile"));
    const all = [submit(w, { prompt: [1, 2] }), submit(w, { prompt: [3] })];
    await drain(w);
    for (const asked of all) expectTwin(asked);
    expect(prepare.mock.calls).toEqual([["decode:seqs4"]]);
    expectClean(w, all);
  });

  test("rates are of what was computed and drawn: neither cached nor forced tokens count", async () => {
    const w = world({ slots: 1 });
    const prompt = Array.from({ length: 12 }, (_, i) => i);
    const rates = () => {
      const { prefillTokensPerSecond, decodeTokensPerSecond } = w.scheduler.stats();
      return [prefillTokensPerSecond, decodeTokensPerSecond];
    };
    const all = [submit(w, { prompt, maxTokens: 5 })];
    await drain(w); // a step takes a millisecond
    expect(rates()).toEqual([12_000, 1000]);
    all.push(submit(w, { prompt, maxTokens: 5 }));
    await drain(w);
    expect(rates()).toEqual([1000, 1000]);
    all.push(submit(w, { prompt, maxTokens: 20, grammar: { classes: "abcdefg[hi][jk][lm]" } }));
    await drain(w);
    expect(rates()).toEqual([1000, 1000]);
    for (const asked of all) expectTwin(asked);
    expectClean(w, all);
  });

  test("an error that is nobody's is told to all, now and later", async () => {
    const w = world();
    const all = [submit(w, { prompt: [1, 2] }), submit(w, { prompt: [3] })];
    w.runner.missing = () => {
      throw new RangeError("a mistake");
    };
    await turns();
    all.push(submit(w, { prompt: [4] }));
    await turns();
    for (const asked of all) expect(asked.settled).toMatchObject({ message: "a mistake" });
    expectClean(w, all);
  });

  test("a listener that throws fails its own request", async () => {
    const w = world();
    const bad = submit(w, { prompt: [1] }, () => {
      throw new Error("listener");
    });
    const good = submit(w, { prompt: [2] });
    await drain(w);
    expect(bad.settled).toMatchObject({ message: "listener" });
    expectTwin(good);
    expectClean(w, [bad, good]);
  });

  test("exclusive work waits for those who run, has a page to itself, and holds up those who come", async () => {
    const w = world();
    const order: string[] = [];
    const before = submit(w, { prompt: [1] });
    await turns();
    const work = w.scheduler.exclusive(async (scratch) => {
      expect(scratch.reserve(1)).toBe(true);
      expect(scratch.pages).toHaveLength(1);
      expect(w.scheduler.stats().running).toBe(0);
      await turns();
      order.push("work");
      return 5;
    });
    const after = submit(w, { prompt: [2] });
    void before.done.then(() => order.push("before"));
    void after.done.then(() => order.push("after"));
    await drain(w);
    expect(await work).toBe(5);
    expect(order).toEqual(["before", "work", "after"]);
    await expect(w.scheduler.exclusive(() => Promise.reject(new Error("no")))).rejects.toThrow(
      "no",
    );
    await drain(w);
    expectClean(w, [before, after]);
  });

  test("exclusive work waits for a page while all are held, and requests need not wait for it", async () => {
    const w = world({ pages: 8 });
    const { kv } = w.scheduler;
    const held = kv.take(8 * kv.pageSize) as Sequence;
    w.scheduler.keep(held, () => w.scheduler.letGo(held)); // until a request needs them
    let began = false;
    const work = w.scheduler.exclusive(async () => {
      began = true;
    });
    await turns();
    expect(began).toBe(false);
    const request = submit(w, { prompt: [1] });
    await drain(w);
    await work;
    expectTwin(request);
    expectClean(w, [request]);
  });

  test("a lost device rejects what runs, waits, and comes later", async () => {
    const w = world({ slots: 1 });
    const all = [submit(w, { prompt: [1] }), submit(w, { prompt: [2] })];
    await turns();
    const work = w.scheduler.exclusive(async () => {});
    work.catch(() => {});
    w.runner.lose(new Error("lost"));
    await expect(work).rejects.toThrow("lost");
    all.push(submit(w, { prompt: [3] }));
    while (w.runner.underWay > 0) {
      w.runner.arrive();
      await turns();
    }
    for (const asked of all) expect(asked.settled).toMatchObject({ message: "lost" });
    expectClean(w, all);
  });

  test("work that hangs with a lost device is told too", async () => {
    const w = world();
    const work = w.scheduler.exclusive(() => new Promise(() => {}));
    await turns();
    w.runner.lose(new Error("lost"));
    await expect(work).rejects.toThrow("lost");
  });
});

describe("pages held for others", () => {
  test("a request that lacks them waits until they are let go, and is not cut short", async () => {
    const w = world({ pages: 6, slots: 2 });
    const held = w.kv.take(4 * PAGE) as NonNullable<ReturnType<typeof w.kv.take>>;
    let letGo = () => {};
    const holding = w.scheduler.hold(held, () => new Promise<void>((resolve) => (letGo = resolve)));
    const asked = submit(w, { prompt: [1, 2, 3], maxTokens: 12 });
    for (let i = 0; i < 50; i++) {
      await turns();
      w.runner.arrive();
    }
    expect(asked.settled).toBeUndefined();
    expect(w.scheduler.stats().pages.running).toBe(6);
    letGo();
    await holding;
    await drain(w);
    await asked.done;
    expectTwin(asked);
    expectClean(w, [asked]);
  });

  test("they are let go when the work fails", async () => {
    const w = world({ pages: 4 });
    const held = w.kv.take(2 * PAGE) as NonNullable<ReturnType<typeof w.kv.take>>;
    const failing = w.scheduler.hold(held, () => Promise.reject(new Error("no disk")));
    await expect(failing).rejects.toThrow("no disk");
    expectClean(w, []);
  });
});

describe("guesses", () => {
  const repeats = { next: fakeRepeats };
  const surely = { tokens: 5 };

  /** A prompt after which the toy text repeats itself soon. */
  const prompt = [1, 2, 3, 4, 5, 6, 7];

  test.each([1, 3, 7, 15])("%i at a time: the same tokens in fewer steps", async (tokens) => {
    const w = world({ ...repeats, slots: 8 });
    const all = [0, 1, 2].map((seed) => {
      return submit(w, { prompt: [...prompt, seed], maxTokens: 90, speculation: { tokens }, seed });
    });
    await drain(w);
    for (const asked of all) expectTwin(asked, fakeRepeats);
    const { guessed, accepted, acceptanceRate } = w.scheduler.stats().speculation;
    expect(accepted).toBeGreaterThan(40);
    expect(guessed).toBeGreaterThan(accepted); // the toy text surprises, too
    expect(acceptanceRate).toBeCloseTo(accepted / guessed);
    expect(w.runner.steps).toBeLessThan(90);
    expectClean(w, all);
  });

  test("an end, a stop string and the most tokens within a run that is right end it there", async () => {
    const ends = { eos: 0, stop: 0, length: 0 };
    for (let seed = 0; seed < 60; seed++) {
      const w = world(repeats);
      const ask: Ask = { prompt, maxTokens: 20 + seed, seed: seed % 5, speculation: surely };
      const whole = twin(ask, fakeRepeats).text;
      if (seed % 3 === 0) ask.stop = [whole.slice(15 + (seed % 7), 17 + (seed % 7))];
      if (seed % 3 === 1) ask.eos = [seed % FAKE_VOCAB];
      const asked = submit(w, ask);
      await drain(w);
      expectTwin(asked, fakeRepeats);
      const { finishReason, completionTokens } = asked.settled as GenerationResult;
      expect(w.scheduler.stats().completionTokens).toBe(completionTokens);
      if (w.scheduler.stats().speculation.accepted > 0) {
        ends[finishReason === "length" ? "length" : ask.stop ? "stop" : "eos"]++;
      }
      const next = submit(w, { ...ask, prompt: [...prompt, 9], stop: [], eos: [] });
      await drain(w);
      expectTwin(next, fakeRepeats);
      expectClean(w, [asked, next]);
    }
    for (const count of Object.values(ends)) expect(count).toBeGreaterThan(3);
  });

  test("a further turn on an answer with guesses finds only what is right in the cache", async () => {
    const w = world(repeats);
    const ids: number[] = [];
    const first: Ask = { prompt, maxTokens: 41, speculation: surely };
    await Promise.all([submit(w, first).done, drain(w)]);
    for (let index = 0; index < 41; index++) {
      const tokens = [...prompt, ...ids];
      ids.push(fakeRepeats(tokens, { seed: 0, index, counts: [], bias: 0 }));
    }
    const second = submit(w, { prompt: [...prompt, ...ids, 3], speculation: surely });
    await drain(w);
    expect(second.settled).toMatchObject({ cachedTokens: prompt.length + 40 });
    expectTwin(second, fakeRepeats);
    expectClean(w, [second]);
  });

  test("penalties are not guessed with: draws of one step would not know of each other", async () => {
    const w = world(repeats);
    const asked = submit(w, { prompt, maxTokens: 40, penalty: 1, speculation: surely });
    await drain(w);
    expectTwin(asked, fakeRepeats);
    expect(w.scheduler.stats().speculation.guessed).toBe(0);
    expectClean(w, [asked]);
  });

  test("kernels that are not ready are compiled beside steps without guesses", async () => {
    const w = world(repeats);
    const { runner } = w;
    const plain = runner.missing.bind(runner);
    let ready = false;
    runner.missing = (rows, sample) =>
      !ready && rows.some(({ outs }) => outs.length > 1) ? ["few"] : plain(rows, sample);
    const prepare = vi.spyOn(runner, "prepare").mockImplementation(async () => {
      while (runner.steps < 30) await turns();
      ready = true;
    });
    const asked = submit(w, { prompt, maxTokens: 80, speculation: surely });
    await drain(w);
    expectTwin(asked, fakeRepeats);
    expect(prepare).toHaveBeenCalledTimes(1);
    expect(w.scheduler.stats().speculation.accepted).toBeGreaterThan(5);
    expectClean(w, [asked]);
  });

  test("auto guesses where steps with guesses take no longer, and hardly ever where they do", async () => {
    for (const [perToken, pays] of [
      [0, true],
      [12, false],
    ] as const) {
      const w = world({ ...repeats, pages: 256 });
      const asked = submit(w, { prompt, maxTokens: 600, speculation: "auto" });
      for (let read = 0; asked.settled === undefined; read++) {
        await turns();
        const [tokens] = w.runner.sizes[read] ?? [1];
        w.time.now += 10 + perToken * ((tokens as number) - 1);
        w.runner.arrive();
      }
      await drain(w);
      expectTwin(asked, fakeRepeats);
      if (pays) expect(w.runner.steps).toBeLessThan(400);
      else expect(w.runner.steps).toBeGreaterThan(570);
      expectClean(w, [asked]);
    }
  });

  test("random requests with and without, aborts, preemption: tokens as without, and nothing left behind", async () => {
    let preemptions = 0;
    let accepted = 0;
    let aborted = 0;
    for (let seed = 0; seed < 40; seed++) {
      const below = random(seed + 100);
      const size = { pages: 16 + below(8) ** 2, slots: 1 + below(6), chunk: 4 + below(20) };
      const w = world({ ...repeats, ...size });
      const ask = () => {
        const kinds = ["off", "auto", { tokens: 1 + below(15) }, surely] as const;
        const speculation = kinds[below(4)];
        return { ...randomAsk(below), ...(speculation && { speculation }) };
      };
      const all = await playRandomly(w, below, ask, { deltas: 9, oneIn: 3 });
      for (const asked of all) {
        if (asked.settled instanceof Error) {
          expect(asked.settled.name).toBe("AbortError");
          expect(twin(asked.ask, fakeRepeats).text.startsWith(text(asked))).toBe(true);
          aborted++;
        } else expectTwin(asked, fakeRepeats);
      }
      const stats = w.scheduler.stats();
      preemptions += stats.preemptions;
      accepted += stats.speculation.accepted;
      expectClean(w, all);
    }
    // Otherwise this tested less than it says.
    expect(preemptions).toBeGreaterThan(20);
    expect(accepted).toBeGreaterThan(200);
    expect(aborted).toBeGreaterThan(20);
  }, 60_000);
});
