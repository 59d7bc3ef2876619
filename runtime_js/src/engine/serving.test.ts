/** Many requests at once on a real device: the toy model, on Dawn. */
import { afterEach, describe, expect, test } from "vitest";
import { drawnToken } from "../testing/tiny_pack.js";
import {
  type Ask,
  type Asked,
  expectClean,
  expectCrowdTwins,
  expectTwin,
  loadTiny,
  model,
  PAGE,
  random,
  randomAsk,
  repeating,
  submit,
  twin,
} from "../testing/tiny_serving.js";

afterEach(() => model.unload());

describe("many requests at once", () => {
  test.each([8, 32])("%i mixed ones get what each gets alone", async (count) => {
    await loadTiny(8, 512);
    const below = random(count);
    const all = Array.from({ length: count }, () => submit(randomAsk(below)));
    await Promise.all(all.map(({ done }) => done));
    for (const asked of all) expectTwin(asked);
    expect(model.stats().meanBatch).toBeGreaterThan(3);
    await expectClean(all);
  });

  test("a changing batch creates nothing on the GPU: one write and one submit a step", async () => {
    await loadTiny(8, 512);
    const below = random(5);
    // Other beginnings for each: a copied page would be a copy more, not a step's write.
    const ask = (i: number): Ask => ({
      content: `${String.fromCharCode(97 + i)} differs from the others`,
      maxTokens: 2 + below(30),
    });
    const round = async (from: number) => {
      const all = Array.from({ length: 12 }, (_, i) => submit(ask(from + i)));
      await Promise.all(all.map(({ done }) => done));
      await expectClean(all);
    };
    await round(0);
    const before = model.stats();
    await round(12);
    const after = model.stats();
    const since = (name: "steps" | "submits" | "writeBuffers") => after[name] - before[name];
    expect(since("steps")).toBeGreaterThan(20);
    expect(since("submits")).toBe(since("steps"));
    expect(since("writeBuffers")).toBe(since("steps"));
    for (const name of ["createdBuffers", "createdBindGroups", "createdPipelines"] as const) {
      expect(after[name]).toBe(before[name]);
    }
  });

  test("10,000 tokens take no more GPU memory than the first", async () => {
    await loadTiny(8, 512);
    const ask = (i: number): Ask => ({ content: `${i}: go on`, maxTokens: 400 });
    await submit(ask(0)).done;
    const before = model.stats();
    const all = Array.from({ length: 25 }, (_, i) => submit(ask(i + 1)));
    await Promise.all(all.map(({ done }) => done));
    const after = model.stats();
    expect(after.completionTokens - before.completionTokens).toBe(10_000);
    expect(after.createdBuffers).toBe(before.createdBuffers);
    expect(after.createdBindGroups).toBe(before.createdBindGroups);
    for (const asked of [all[0], all[24]]) expectTwin(asked as Asked);
    await expectClean(all);
  }, 120_000);

  test("with a quarter of the pages they need, tokens stay the same", async () => {
    await loadTiny(8, 64);
    const asks = Array.from({ length: 8 }, (_, i): Ask => {
      const ask: Ask = { content: `request ${i}`, maxTokens: 16 };
      return i % 2 === 0 ? { ...ask, penalty: 2 } : ask;
    });
    const needed = asks.reduce((sum, { content, maxTokens }) => {
      const { tokens } = model.prompts.render([{ role: "user", content }]);
      return sum + Math.ceil((tokens.length + maxTokens) / PAGE);
    }, 0);
    expect(model.stats().pages.total).toBeLessThanOrEqual(needed / 4);
    // One after another they begin while there is room; then they grow.
    const all: Asked[] = [];
    for (const ask of asks) all.push(submit(ask));
    await Promise.all(all.map(({ done }) => done));
    for (const asked of all) expectTwin(asked);
    const { preemptions, cache } = model.stats();
    expect(preemptions).toBeGreaterThan(0);
    expect(cache.evictedPages).toBeGreaterThan(0);
    await expectClean(all);
  });

  test("1,000 random events leave nothing behind, and the next request is right", async () => {
    await loadTiny(8, 64);
    await submit({ content: "the first", maxTokens: 4 }).done;
    const { createdBuffers, createdBindGroups } = model.stats();
    const below = random(7);
    const all: Asked[] = [];
    // Each comes, is aborted or stops, with whatever priority; between them some time passes.
    for (let events = 0; events < 1000; ) {
      const live = all.filter(({ settled }) => settled === undefined);
      const kind = below(10);
      if (kind < 3 && live.length < 20) {
        const stopAt = below(6) === 0 ? 1 + below(8) : Number.POSITIVE_INFINITY;
        let deltas = 0;
        const asked = submit(randomAsk(below), ({ controller }) => {
          if (++deltas === stopAt) controller.abort();
        });
        all.push(asked);
        events++;
      } else if (kind === 3 && live.length > 0) {
        (live[below(live.length)] as Asked).controller.abort();
        events++;
      } else await new Promise((resolve) => setTimeout(resolve, kind < 6 ? 1 : 0));
    }
    await Promise.all(all.map(({ done }) => done));
    let aborted = 0;
    for (const asked of all) {
      if (!(asked.settled instanceof Error)) expectTwin(asked);
      else {
        expect(asked.settled.name).toBe("AbortError");
        expect(twin(asked.ask).startsWith(asked.text)).toBe(true);
        aborted++;
      }
    }
    expect(all.length).toBeGreaterThan(500);
    expect(aborted).toBeGreaterThan(100);
    expect(
      all.filter(({ settled }) => settled && "finishReason" in settled).length,
    ).toBeGreaterThan(300);
    const { preemptions, cache } = model.stats();
    expect(preemptions).toBeGreaterThan(0);
    expect(cache.hitRate).toBeGreaterThan(0.1);
    const next = submit({ content: "and now?", maxTokens: 20 });
    await next.done;
    expectTwin(next);
    await expectClean([...all, next]);
    expect(model.stats()).toMatchObject({ createdBuffers, createdBindGroups });
  }, 240_000);
});

describe("guessed tokens", () => {
  test("of many requests at once, beside others: what each gets without, in fewer steps", async () => {
    await loadTiny(8, 512);
    const below = random(3);
    const all = Array.from({ length: 24 }, (_, i) => {
      return submit(i % 4 === 0 ? randomAsk(below) : repeating(below));
    });
    await Promise.all(all.map(({ done }) => done));
    for (const asked of all) expectTwin(asked);
    const { guessed, accepted } = model.stats().speculation;
    expect(accepted).toBeGreaterThan(50);
    expect(guessed).toBeGreaterThan(accepted);
    await expectClean(all);
  });

  test("one request: several tokens a step; each step one write and one submit, and nothing created", async () => {
    await loadTiny(2, 512);
    const ask: Ask = {
      content: "a",
      maxTokens: 100,
      bias: [[65, 300]],
      speculation: { tokens: 3 },
    };
    await submit(ask).done;
    const before = model.stats();
    const asked = submit({ ...ask, content: "b" });
    await asked.done;
    expectTwin(asked);
    const after = model.stats();
    const since = (name: "steps" | "submits" | "writeBuffers") => after[name] - before[name];
    expect(since("steps")).toBeLessThan(40);
    expect(since("submits")).toBe(since("steps"));
    expect(since("writeBuffers")).toBe(since("steps") + 1); // its bias
    expect(after.createdBuffers).toBe(before.createdBuffers);
    expect(after.createdBindGroups).toBe(before.createdBindGroups);
    await expectClean([asked]);
  });

  test("drawn with a seed: every place draws with its own index", async () => {
    await loadTiny(2, 512);
    // What this seed draws, of what can be written: it is in the prompt, and so are guesses that are wrong.
    const seed = 1;
    const drawn = Array.from({ length: 256 }, (_, i) => drawnToken(seed, i));
    const runs = String.fromCharCode(...drawn.map((id) => (id >= 32 && id < 127 ? id : 32)));
    const ask: Ask = { content: runs, maxTokens: 120, seed };
    const plain = submit(ask);
    await plain.done;
    expectTwin(plain);
    const asked = submit({ ...ask, speculation: { tokens: 3 } });
    await asked.done;
    expectTwin(asked);
    const { guessed, accepted } = model.stats().speculation;
    expect(accepted).toBeGreaterThan(2);
    expect(guessed).toBeGreaterThan(accepted);
    await expectClean([plain, asked]);
  });

  test("with a quarter of the pages they need, and aborts, tokens stay the same", async () => {
    await loadTiny(8, 128);
    const below = random(11);
    const all = await expectCrowdTwins(below, () => repeating(below));
    const { preemptions, speculation } = model.stats();
    expect(preemptions).toBeGreaterThan(0);
    expect(speculation.accepted).toBeGreaterThan(100);
    const next = submit({ content: "and now?", maxTokens: 20 });
    await next.done;
    expectTwin(next);
    await expectClean([...all, next]);
  }, 60_000);
});
