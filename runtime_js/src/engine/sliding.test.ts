/** Conversations and answers that are longer than the context, on Dawn. */
import { afterEach, describe, expect, test } from "vitest";
import { type FragileGpu, fragile } from "../testing/fragile_gpu.js";
import { BASE, dawn, testHost } from "../testing/host.js";
import { nextToken, tinyPack } from "../testing/tiny_pack.js";
import type { TemplateMessage } from "../text/chat_template.js";
import type { LanguageModel } from "./language_model.js";
import { type LoadOptions, load } from "./load.js";
import type { Delta, GenerateRequest } from "./request.js";

const never = new AbortController().signal;
const CONTEXT = 64;

const models: LanguageModel[] = [];
afterEach(() => {
  for (const model of models.splice(0)) model.unload();
});

async function open(options: Partial<LoadOptions> = {}, gpu?: GPU): Promise<LanguageModel> {
  const host = testHost(tinyPack(CONTEXT), gpu ?? (await dawn()));
  const model = await load(host, { url: BASE, ...options }, () => {}, never);
  models.push(model);
  return model;
}

type Changes = Partial<Omit<GenerateRequest, "sampling">> & {
  sampling?: Partial<GenerateRequest["sampling"]>;
};

const user = (content: string): TemplateMessage => ({ role: "user", content });

function ask({ sampling, ...rest }: Changes = {}): GenerateRequest {
  return {
    messages: [user("hi")],
    maxTokens: 200,
    stop: [],
    overflow: "slide",
    ...rest,
    sampling: {
      temperature: 0,
      frequencyPenalty: 0,
      presencePenalty: 0,
      logitBias: [],
      logprobs: 0,
      ...sampling,
    },
  };
}

/** An answer and its tokens, each of which is a byte. */
async function run(model: LanguageModel, request: GenerateRequest, onDelta = (_: Delta) => {}) {
  const deltas: Delta[] = [];
  const delta = (d: Delta) => {
    deltas.push(d);
    onDelta(d);
  };
  const result = await model.generate(request, { delta }, never);
  const ids = deltas.flatMap((d) => d.logprobs.map(({ bytes }) => bytes[0] as number));
  return { ...result, ids, text: deltas.map((d) => d.text).join("") };
}

/** By the toy's formula alone: whenever the context is full, the sinks and the newer half of the rest. */
function twin(prompt: readonly number[], count: number, sinks: number, context = CONTEXT) {
  const tokens = [...prompt];
  const answer: number[] = [];
  while (answer.length < count) {
    if (tokens.length === context) {
      const newest = Math.floor((context - sinks) / 2);
      tokens.splice(sinks, context - sinks - newest);
    }
    const next = nextToken(tokens);
    tokens.push(next);
    answer.push(next);
  }
  return answer;
}

/** `<|im_start|>user\n`, the tokens before the first message's text. */
const SINKS = 6;

function expectClean({ scheduler }: LanguageModel): void {
  const { pool, tree } = scheduler.kv;
  expect(scheduler.used.slots).toBe(0);
  expect(pool.free + tree.held).toBe(pool.pages);
}

describe("an answer that fills the context", () => {
  test("goes on as the first and the newest tokens alone would", async () => {
    const model = await open();
    const { tokens } = model.prompts.render([user("hi")]);
    const answer = await run(model, ask());
    expect(answer.ids).toEqual(twin(tokens, 200, SINKS));
    // Full after 54 tokens, and then, with 6 + 29 that are left, after each 29.
    expect(answer).toMatchObject({ completionTokens: 200, finishReason: "length", slides: 6 });
    expect(answer).toMatchObject({ promptTokens: tokens.length, droppedMessages: 0 });
    expectClean(model);
  });

  test("and as a request with these tokens for its prompt would", async () => {
    const model = await open();
    const { tokens } = model.prompts.render([user("hi")]);
    const { ids } = await run(model, ask());
    const known = [...tokens];
    for (let at = 0; at < ids.length; ) {
      if (known.length === CONTEXT) known.splice(SINKS, Math.ceil((CONTEXT - SINKS) / 2));
      model.scheduler.kv.clear(); // computed by hand, all of it
      const maxTokens = Math.min(CONTEXT - known.length, ids.length - at);
      const part = await run(model, ask({ messages: known, maxTokens, overflow: "error" }));
      expect(part.ids).toEqual(ids.slice(at, at + maxTokens));
      known.push(...part.ids);
      at += maxTokens;
    }
  });

  test("keeps the system message, a part of one that is too long, and of other prompts the first tokens", async () => {
    const model = await open();
    const of = async (messages: GenerateRequest["messages"], tokens: number[], sinks: number) => {
      const { ids } = await run(model, ask({ messages, maxTokens: 120 }));
      expect(ids).toEqual(twin(tokens, 120, sinks));
    };
    const rendered = async (messages: TemplateMessage[], sinks: number) =>
      of(messages, model.prompts.render(messages).tokens, sinks);
    const system = { role: "system" as const, content: "be brief" };
    await rendered([system, user("hi")], 1 + "system\nbe brief".length + 1 + SINKS);
    await rendered([{ ...system, content: "be brief ".repeat(4) }, user("hi")], CONTEXT / 2);
    await of("some text", model.tokenize("some text"), 4);
    await of([70, 80], [70, 80], 2);
  });

  test("ends after as many tokens as the context holds, unless it may have more", async () => {
    const model = await open();
    const result = await run(model, ask({ maxTokens: null }));
    expect(result).toMatchObject({ completionTokens: CONTEXT, slides: 1, finishReason: "length" });
  });

  test("is the same beside others, preempted, guessed, and with a prompt that is cached", async () => {
    const model = await open({ maxBatch: 2, kvTokens: 80 });
    const { tokens } = model.prompts.render([user("hi")]);
    const expected = twin(tokens, 200, SINKS);
    const one = run(model, ask());
    const other = run(model, ask({ speculation: { tokens: 7 } }));
    const urgent: Promise<unknown>[] = [];
    let count = 0;
    const third = run(model, ask({ messages: [user("another")], maxTokens: 150 }), () => {
      if (++count % 15 === 0) {
        const messages = [user(`${count}`)];
        urgent.push(run(model, ask({ messages, maxTokens: 3, priority: 9 })));
      }
    });
    expect((await one).ids).toEqual(expected);
    expect((await other).ids).toEqual(expected);
    const { tokens: another } = model.prompts.render([user("another")]);
    expect((await third).ids).toEqual(twin(another, 150, SINKS));
    expect(await Promise.all(urgent)).toHaveLength(10);
    expect(model.stats().preemptions).toBeGreaterThan(5);
    expect((await run(model, ask())).ids).toEqual(expected);
    expectClean(model);
  });

  test("counts every token it has generated for penalties, after a preemption too", async () => {
    const model = await open({ maxBatch: 1 });
    const sampling = { frequencyPenalty: 2, logitBias: [[65, 440]] as [number, number][] };
    // 'A' is drawn until its count outweighs the bias: whoever forgets some of them goes on too long.
    const request = ask({ sampling, maxTokens: 150 });
    const quiet = await run(model, request);
    const ends = quiet.ids.indexOf(quiet.ids.find((id) => id !== 65) ?? -1);
    expect(ends).toBeGreaterThan(CONTEXT);
    expect(ends).toBeLessThan(150);
    let count = 0;
    const urgent: Promise<unknown>[] = [];
    const disturbed = await run(model, request, () => {
      if (++count % 20 === 0) urgent.push(run(model, ask({ maxTokens: 1, priority: 9 })));
    });
    await Promise.all(urgent);
    expect(model.stats().preemptions).toBeGreaterThan(3);
    expect(disturbed.ids).toEqual(quiet.ids);
  });

  test("stops at a string that begins before the window slides and ends after", async () => {
    const model = await open();
    const sampling = { temperature: 1, seed: 3 };
    const free = await run(model, ask({ sampling }));
    const border = CONTEXT - free.promptTokens;
    const at = free.ids.slice(0, border - 3);
    const before = new TextDecoder().decode(Uint8Array.from(at), { stream: true }).length;
    const stop = free.text.slice(before, before + 6);
    const first = free.text.indexOf(stop);
    const stopped = await run(model, ask({ sampling, stop: [stop] }));
    expect(first).toBe(before);
    expect(stopped).toMatchObject({
      finishReason: "stop",
      slides: 1,
      text: free.text.slice(0, first),
    });
  });

  test("is aborted while what the window keeps is computed", async () => {
    const model = await open();
    const controller = new AbortController();
    let tokens = 0;
    const delta = () => {
      // The last before it slides: of the kept ones at most the first chunk is under way next.
      if (++tokens === CONTEXT - 10) queueMicrotask(() => controller.abort());
    };
    const aborted = model.generate(ask(), { delta }, controller.signal);
    await expect(aborted).rejects.toMatchObject({ name: "AbortError" });
    expectClean(model);
    const { tokens: prompt } = model.prompts.render([user("hi")]);
    expect((await run(model, ask())).ids).toEqual(twin(prompt, 200, SINKS));
  });

  test("goes on where it was when the device is lost, before, while and after the window slides", async () => {
    const broken: FragileGpu = fragile(await dawn(), () => Number.POSITIVE_INFINITY);
    const model = await open({ recovery: { losses: 100, withinMs: 1e9 } }, broken.gpu);
    const { tokens } = model.prompts.render([user("hi")]);
    const expected = twin(tokens, 130, SINKS);
    for (const moment of [20, 53, 54, 55, 56, 83, 84, 120]) {
      let count = 0;
      const answer = await run(model, ask({ maxTokens: 130 }), () => {
        if (++count === moment) broken.devices.at(-1)?.destroy();
      });
      expect(answer.ids).toEqual(expected);
      expect(answer.slides).toBe(3);
    }
    expect(model.stats().device).toMatchObject({ state: "ready", losses: 8 });
    expectClean(model);
  });
});

describe("a conversation that does not fit", () => {
  const system: TemplateMessage = { role: "system", content: "s" };
  const said = (i: number): TemplateMessage[] => [
    user(`q${i}`),
    { role: "assistant", content: `a${i}` },
  ];
  const talk = (turns: number) => [
    system,
    ...Array.from({ length: turns }, (_, i) => said(i)).flat(),
  ];

  test("loses whole turns after the system message, so that there is room for the answer", async () => {
    const model = await open();
    const frame = model.prompts.render([system]).tokens.length;
    const one = model.prompts.render([system, ...said(0)]).tokens.length - frame;
    for (let turns = 0; turns < 8; turns++) {
      const messages = [...talk(turns), user("now?")];
      const { tokens, droppedMessages } = model.prompts.fit(ask({ messages }));
      const all = model.prompts.render(messages).tokens;
      // A quarter of the context is the answer's, and another is dropped at once.
      const over = all.length - 48;
      const dropped = over <= 0 ? 0 : Math.min(turns, Math.ceil((16 * Math.ceil(over / 16)) / one));
      expect(droppedMessages).toBe(2 * dropped);
      const kept = [system, ...messages.slice(1 + 2 * dropped)];
      expect([...tokens]).toEqual(model.prompts.render(kept).tokens);
      expect(tokens.length).toBeLessThanOrEqual(48);
    }
  });

  test("is answered as its newest turns are, and tells what it lost", async () => {
    const model = await open({ contextLength: 2 * CONTEXT });
    const messages = [...talk(6), user("now?")];
    const answer = await run(model, ask({ messages, maxTokens: 8 }));
    const kept = [system, ...messages.slice(1 + answer.droppedMessages)];
    const { tokens } = model.prompts.render(kept);
    expect(answer.droppedMessages).toBeGreaterThan(0);
    expect(answer.promptTokens).toBe(tokens.length);
    expect(answer.ids).toEqual(twin(tokens, 8, 0));
    expect(answer.slides).toBe(0);
    // The next request begins alike: it finds that in the cache.
    const reply: TemplateMessage = { role: "assistant", content: "!" };
    const next = await run(model, ask({ messages: [...messages, reply, user("?")], maxTokens: 8 }));
    expect(next.droppedMessages).toBe(answer.droppedMessages);
    expect(next.cachedTokens).toBeGreaterThan(tokens.length - 4);
  });

  test("is refused by name when its last turn alone is too long, as a prompt without turns is", async () => {
    const model = await open();
    const before = model.stats().submits;
    const tooLong = [...talk(3), user("x".repeat(60))];
    await expect(run(model, ask({ messages: tooLong }))).rejects.toMatchObject({
      name: "ContextLengthExceeded",
      message: expect.stringContaining("even without earlier turns"),
      data: { contextLength: CONTEXT, promptTokens: expect.any(Number) },
    });
    const tokens = Array<number>(CONTEXT).fill(65);
    for (const messages of ["x".repeat(CONTEXT), tokens]) {
      await expect(run(model, ask({ messages }))).rejects.toMatchObject({
        name: "ContextLengthExceeded",
        data: { promptTokens: CONTEXT },
      });
    }
    expect(model.stats().submits).toBe(before);
  });

  test("is refused with the most that a summary may have, as soon as there is little room for an answer", async () => {
    const model = await open();
    const tokens = (count: number) => Array<number>(count).fill(65);
    const of = (count: number, maxTokens: number | null) =>
      model.prompts.fit(ask({ messages: tokens(count), maxTokens, overflow: "summarise" }));
    expect(of(48, null)).toMatchObject({ droppedMessages: 0, window: undefined });
    expect(() => of(49, null)).toThrow(
      expect.objectContaining({
        data: { param: "prompt", promptTokens: 49, limit: 48, contextLength: 64 },
      }),
    );
    expect(of(60, 4).tokens).toHaveLength(60);
    expect(() => of(61, 4)).toThrow(expect.objectContaining({ name: "ContextLengthExceeded" }));
  });
});

describe("the model's true context", () => {
  test("can be asked for, and prompts are computed in chunks to its last position", async () => {
    const model = await open({ contextLength: 2 * CONTEXT });
    expect(model.info().contextLength).toBe(2 * CONTEXT);
    const chunk = model.executor.chunk;
    for (const length of [2 * CONTEXT - 1, 2 * CONTEXT - 2]) {
      const prompt = Array.from({ length }, (_, i) => (i * 31 + length) % 256);
      expect(length).toBeGreaterThan(10 * chunk);
      const answer = await run(model, ask({ messages: prompt, maxTokens: 9, overflow: "error" }));
      expect(answer.ids).toEqual(twin(prompt, 2 * CONTEXT - length, 0, Number.POSITIVE_INFINITY));
      expect(answer).toMatchObject({ finishReason: "length", promptTokens: length });
    }
    await expect(open({ contextLength: 2 * CONTEXT + 1 })).rejects.toMatchObject({
      name: "InvalidRequestError",
      data: { param: "contextLength" },
    });
  });
});
