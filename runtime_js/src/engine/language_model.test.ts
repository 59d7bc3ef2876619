import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { BASE, dawn, testHost, watched } from "../testing/host.js";
import { drawnToken, IM_END, nextToken, tinyPack } from "../testing/tiny_pack.js";
import type { LanguageModel } from "./language_model.js";
import { load } from "./load.js";
import type { Delta, GenerateRequest } from "./request.js";
import { MAX_AHEAD, MIN_AHEAD, RunAhead } from "./run_ahead.js";

const never = new AbortController().signal;

let model: LanguageModel;

beforeAll(async () => {
  model = await load(testHost(tinyPack(), await dawn()), { url: BASE }, () => {}, never);
  await model.finish(); // so that no idle moment's work is counted below
});

afterAll(() => model.unload());

type Changes = Partial<Omit<GenerateRequest, "sampling">> & {
  sampling?: Partial<GenerateRequest["sampling"]>;
};

function request({ sampling, ...rest }: Changes = {}): GenerateRequest {
  return {
    messages: [{ role: "user", content: "hi" }],
    maxTokens: null,
    stop: [],
    ...rest,
    sampling: {
      temperature: 0,
      frequencyPenalty: 0,
      presencePenalty: 0,
      logitBias: [],
      logprobs: null,
      ...sampling,
    },
  };
}

async function run(changes: Changes = {}, signal = never) {
  const deltas: Delta[] = [];
  const result = await model.generate(request(changes), { delta: (d) => deltas.push(d) }, signal);
  return { ...result, deltas, text: deltas.map((d) => d.text).join("") };
}

/** Greedy tokens by the twin. */
function twin(prompt: number[], count: number): number[] {
  const tokens = [...prompt];
  for (let i = 0; i < count; i++) tokens.push(nextToken(tokens));
  return tokens.slice(prompt.length);
}

describe("a loaded model on Dawn", () => {
  test("greedy tokens are the twin's, for prompts around page and chunk bounds", async () => {
    for (const length of [1, 2, 3, 4, 5, 6, 7, 8, 20, 35]) {
      const content = "x".repeat(length);
      const messages = [{ role: "user" as const, content }];
      const { tokens } = model.prompts.render(messages);
      const { text, finishReason, promptTokens, completionTokens } = await run({
        messages,
        maxTokens: 9,
      });
      expect(text).toBe(dropPartial(twin(tokens, 9)));
      expect({ finishReason, promptTokens, completionTokens }).toEqual({
        finishReason: "length",
        promptTokens: tokens.length,
        completionTokens: 9,
      });
    }
  });

  test("a full context ends with length, after exactly the tokens that fit", async () => {
    const { completionTokens, promptTokens, finishReason } = await run();
    expect(promptTokens + completionTokens).toBe(model.info().contextLength);
    expect(finishReason).toBe("length");
  });

  test("a prompt that fills the context is refused with both numbers", async () => {
    const messages = [{ role: "user" as const, content: "x".repeat(100) }];
    await expect(run({ messages })).rejects.toMatchObject({
      name: "ContextLengthExceeded",
      data: { promptTokens: 108, contextLength: 64 },
    });
  });

  test("steady decoding: one submit, one write, nothing created, per token", async () => {
    await run({ maxTokens: 4 });
    const before = model.stats();
    const messages = [{ role: "system" as const, content: "new" }];
    const { completionTokens } = await run({ messages, maxTokens: 20 });
    const after = model.stats();
    const { decode = 0, sample = 0 } = model.info().launches;
    expect(after.createdBuffers - before.createdBuffers).toBe(0);
    expect(after.createdBindGroups - before.createdBindGroups).toBe(0);
    // The prompt takes two chunks: one submit and one write each; the second one samples.
    const prefillSubmits = 2;
    expect(after.submits - before.submits).toBe(completionTokens - 1 + prefillSubmits);
    expect(after.steps - before.steps).toBe(after.submits - before.submits);
    expect(after.writeBuffers - before.writeBuffers).toBe(after.submits - before.submits);
    // The first chunk runs "append" alone: nothing wants its logits.
    expect(after.launches - before.launches).toBe(completionTokens * (decode + sample) + 1);
  });

  test("the seed and the draw index decide, nothing else", async () => {
    const sampling = { temperature: 1, seed: 3 };
    const { text } = await run({ sampling, maxTokens: 6 });
    expect(text).toBe(dropPartial([0, 1, 2, 3, 4, 5].map((i) => drawnToken(3, i))));
  });

  test("an end token ends the generation; bias reaches the sampler and does not stay", async () => {
    const biased = await run({ sampling: { logitBias: [[IM_END, 1000]] } });
    expect(biased).toMatchObject({ finishReason: "stop", completionTokens: 1, text: "" });
    expect((await run({ maxTokens: 3 })).completionTokens).toBe(3);
  });

  test("penalty counts start anew with each request", async () => {
    const sampling = { logitBias: [[65, 1000]] as [number, number][], frequencyPenalty: 2 };
    const first = await run({ sampling, maxTokens: 3 });
    expect((await run({ sampling, maxTokens: 3 })).text).toBe(first.text);
    expect(first.text).toBe("AAA");
  });

  test("a stop string ends it and is not shown", async () => {
    const free = await run({ maxTokens: 12 });
    const stop = free.text.slice(3, 5);
    const stopped = await run({ stop: [stop], maxTokens: 12 });
    expect(stopped.text).toBe(free.text.slice(0, free.text.indexOf(stop)));
    expect(stopped.finishReason).toBe("stop");
    expect(stopped.completionTokens).toBeLessThan(12);
  });

  test("how far it runs ahead changes nothing but the surplus steps", async () => {
    const free = await run({ sampling: { temperature: 1, seed: 7 }, maxTokens: 12 });
    const stop = [free.text.slice(4, 6)];
    const abort = async () => {
      const controller = new AbortController();
      const aborted = model.generate(
        request({ maxTokens: 20 }),
        { delta: () => controller.abort() },
        controller.signal,
      );
      await expect(aborted).rejects.toMatchObject({ name: "AbortError" });
    };
    const answers = async (depth: number) => {
      const spy = vi.spyOn(RunAhead.prototype, "depth", "get").mockReturnValue(depth);
      const { steps, writeBuffers } = model.stats();
      const given = [
        await run({ sampling: { temperature: 1, seed: 7 }, stop, maxTokens: 12 }),
        await run({ sampling: { temperature: 1, seed: 8, frequencyPenalty: 2 }, maxTokens: 9 }),
        await run(), // to the context's end
        await abort(),
        await run({ maxTokens: 12 }),
      ];
      spy.mockRestore();
      const after = model.stats();
      return {
        given,
        steps: after.steps - steps,
        writeBuffers: after.writeBuffers - writeBuffers,
      };
    };
    const one = await answers(1);
    expect(one.given[0]).toMatchObject({ finishReason: "stop" });
    for (let depth = MIN_AHEAD; depth <= MAX_AHEAD; depth++) {
      const ahead = await answers(depth);
      expect(ahead.given).toEqual(one.given);
      // Surplus after the stop string and after the abort, each at most the depth.
      const surplus = ahead.steps - one.steps;
      expect(surplus).toBeGreaterThan(0);
      expect(surplus).toBeLessThanOrEqual(2 * depth);
      expect(ahead.writeBuffers - one.writeBuffers).toBe(surplus);
    }
  });

  test("log-probabilities name the token, its bytes and the alternatives", async () => {
    const { deltas } = await run({ sampling: { logprobs: 2 }, maxTokens: 2 });
    const all = deltas.flatMap((d) => d.logprobs);
    expect(all).toHaveLength(2);
    expect(all[0]?.top.map((t) => t.bytes)).toEqual([[0], [1]]);
    expect(all[0]?.logprob).toBeCloseTo(0);
  });

  test("abort rejects by name, and the next request is right", async () => {
    const controller = new AbortController();
    const deltas: Delta[] = [];
    const running = model.generate(
      request(),
      {
        delta(d) {
          deltas.push(d);
          if (deltas.length === 3) controller.abort();
        },
      },
      controller.signal,
    );
    await expect(running).rejects.toMatchObject({ name: "AbortError" });
    expect(deltas.length).toBeLessThan(10);
    const { tokens } = model.prompts.render([{ role: "user", content: "hi" }]);
    expect((await run({ maxTokens: 5 })).text).toBe(dropPartial(twin(tokens, 5)));
  });

  test("requests at once are answered in order; one aborted in the queue leaves no trace", async () => {
    const controller = new AbortController();
    const order: string[] = [];
    const named = async (name: string) => {
      const result = await run({ maxTokens: 5 });
      order.push(name);
      return result;
    };
    const a = named("a");
    const b = run({ maxTokens: 5 }, controller.signal).catch((e: Error) => order.push(e.name));
    const c = named("c");
    controller.abort();
    const [first, , third] = await Promise.all([a, b, c]);
    expect(third.text).toBe(first.text);
    expect(order).toEqual(["AbortError", "a", "c"]);
  });

  test("the template's own complaint arrives by name", async () => {
    const messages = [{ role: "tool" as const, content: "x" }];
    await expect(run({ messages })).rejects.toMatchObject({
      name: "TemplateError",
      message: expect.stringContaining("tool without id"),
    });
  });

  test("what is no token, an answer of none, and too many log-probabilities are refused, as other engines send what they like", async () => {
    const refused = (overrides: Parameters<typeof run>[0], param: string) =>
      expect(run(overrides)).rejects.toMatchObject({ name: "InvalidRequestError", param });
    await refused({ sampling: { logitBias: [[260, 1]] } }, "logit_bias");
    await refused({ sampling: { logitBias: [[-1, 1]] } }, "logit_bias");
    await refused({ messages: [5, -1, 5] }, "prompt");
    await refused({ maxTokens: 0 }, "max_tokens");
    await refused({ maxTokens: Number.NaN }, "max_tokens");
    for (const logprobs of [-1, 0.5, 21, 1e9, Number.NaN])
      await refused({ sampling: { logprobs } }, "top_logprobs");
  });
});

test("a lost device that is not to be replaced rejects what is under way and what comes after", async () => {
  const { gpu, devices } = watched(await dawn());
  const options = { url: BASE, recovery: { losses: 0 } };
  const lost = await load(testHost(tinyPack(), gpu), options, () => {}, never);
  const running = lost.generate(
    request(),
    {
      delta: () => devices[0]?.destroy(),
    },
    never,
  );
  await expect(running).rejects.toMatchObject({ name: "DeviceLostError" });
  await expect(lost.generate(request(), { delta: () => {} }, never)).rejects.toMatchObject({
    name: "DeviceLostError",
  });
});

/** Text of byte tokens without the unfinished character at the end. */
function dropPartial(tokens: number[]): string {
  return new TextDecoder().decode(Uint8Array.from(tokens), { stream: true });
}
