/** The demo model, as the builder packed it, on Dawn. WEBBUILD_TEST_PACK names another pack. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PackManifest } from "../generated/pack.js";
import type { Program } from "../generated/program.js";
import { BASE, dawn, testHost } from "../testing/host.js";
import type { LanguageModel } from "./language_model.js";
import { load } from "./load.js";
import type {
  Delta,
  GenerateRequest,
  Overflow,
  Prompt,
  SamplingOptions,
  TokenLogprobs,
} from "./request.js";
import { MAX_AHEAD } from "./run_ahead.js";

const shipped = fileURLToPath(new URL("../../../demo_site/public/packs/demo", import.meta.url));
const folder = process.env["WEBBUILD_TEST_PACK"] ?? shipped;
const never = new AbortController().signal;

describe.skipIf(!existsSync(join(folder, "pack.json"))).each(["f16", "f32"])("tier %s", (tier) => {
  let model: LanguageModel;
  let program: Program;
  let manifest: PackManifest;
  let files: Map<string, Uint8Array>;

  beforeAll(async () => {
    files = new Map(
      readdirSync(folder).map((f) => [f, new Uint8Array(readFileSync(join(folder, f)))]),
    );
    program = JSON.parse(readFileSync(join(folder, "program.json"), "utf8"));
    manifest = JSON.parse(readFileSync(join(folder, "pack.json"), "utf8"));
    model = await load(
      testHost(files, await dawn()),
      { url: BASE, tier, contextLength: 400 },
      () => {},
      never,
    );
    await model.finish(); // so that no idle moment's work is counted below
  });
  afterAll(() => model?.unload());

  async function ask(
    content: string | Exclude<Prompt, string>,
    sampling: Partial<SamplingOptions> = {},
    maxTokens = 12,
    overflow: Overflow = "error",
    of = model,
  ) {
    const deltas: Delta[] = [];
    const request: GenerateRequest = {
      messages: typeof content === "string" ? [{ role: "user", content }] : content,
      overflow,
      maxTokens,
      stop: [],
      sampling: {
        temperature: 0,
        frequencyPenalty: 0,
        presencePenalty: 0,
        logitBias: [],
        logprobs: null,
        ...sampling,
      },
    };
    const result = await of.generate(request, { delta: (d) => deltas.push(d) }, never);
    return { ...result, request, text: deltas.map((d) => d.text).join(""), deltas };
  }

  test("a decoder layer takes at most 8 launches to decode", () => {
    const { decode } = (program.tiers[tier] as Program["tiers"][string]).functions;
    const layers = new Map<string, number>();
    for (const { label } of decode?.launches ?? []) {
      const layer = /^layers\.\d+\./.exec(label)?.[0];
      if (layer) layers.set(layer, (layers.get(layer) ?? 0) + 1);
    }
    expect(layers.size).toBeGreaterThan(0);
    for (const launches of layers.values()) expect(launches).toBeLessThanOrEqual(8);
  });

  test("greedy takes the likeliest token, and log-probabilities are sorted and normalised", async () => {
    const { deltas } = await ask("What is 17 + 25?", { logprobs: 20 });
    const tokens = deltas.flatMap((d) => d.logprobs);
    expect(tokens.length).toBeGreaterThan(0);
    for (const { top, ...chosen } of tokens) {
      expect(top[0]).toEqual(chosen);
      const values = top.map((t) => t.logprob);
      expect(values).toEqual([...values].sort((a, b) => b - a));
      expect(values.reduce((p, v) => p + Math.exp(v), 0)).toBeLessThanOrEqual(1 + 1e-4);
    }
  });

  test("a seed repeats; requests leave nothing behind", async () => {
    const question = "Tell me a story.";
    const greedy = await ask(question);
    const drawn = await ask(question, { temperature: 1.5, seed: 5 });
    await ask(question, { logitBias: [[5, 50]], frequencyPenalty: 2, presencePenalty: 1 });
    expect((await ask(question, { temperature: 1.5, seed: 5 })).text).toBe(drawn.text);
    expect((await ask(question)).text).toBe(greedy.text);
  });

  test("a decoded token is one submit and one write, and creates nothing", async () => {
    await ask("Tell me a story.");
    const before = model.stats();
    const { completionTokens } = await ask("Tell me a story.");
    const after = model.stats();
    const surplus = after.steps - before.steps - completionTokens;
    expect(surplus).toBeGreaterThanOrEqual(0);
    expect(surplus).toBeLessThan(MAX_AHEAD);
    expect(after.submits - before.submits).toBe(after.steps - before.steps);
    expect(after.writeBuffers - before.writeBuffers).toBe(after.steps - before.steps);
    expect(after.createdBuffers).toBe(before.createdBuffers);
    expect(after.createdBindGroups).toBe(before.createdBindGroups);
  });

  test.each([8, 32])(
    "%i mixed requests at once get the greedy tokens of each alone",
    async (count) => {
      const topics = [
        "a cat",
        "the sea",
        "17 + 25",
        "a long road to the town",
        "red",
        "why birds sing",
      ];
      const asks = Array.from({ length: count }, (_, i) => {
        const topic = topics[i % topics.length] as string;
        return `${i % 3 === 0 ? `Be brief, as always. Remark ${i}. `.repeat(1 + (i % 4)) : ""}Tell me of ${topic}.`;
      });
      const ids = ({ deltas }: Awaited<ReturnType<typeof ask>>) =>
        deltas.flatMap((d) => d.logprobs.map(({ bytes }) => bytes));
      // Nothing ends early, so that there is something to compare.
      const logitBias = manifest.tokens.eos.map((id): [number, number] => [id, -100]);
      const one = (content: string, i: number) =>
        ask(content, { logprobs: 0, logitBias }, 4 + ((i * 7) % 20));
      const alone: number[][][] = [];
      for (const [i, content] of asks.entries()) alone.push(ids(await one(content, i)));
      model.scheduler.kv.clear();
      const before = model.stats();
      const together = await Promise.all(asks.map(one));
      const after = model.stats();
      expect(together.map(ids)).toEqual(alone);
      expect(after.meanBatch).toBeGreaterThan(before.meanBatch);
      expect(after.steps - before.steps).toBeLessThan(alone.flat().length / 2);
    },
  );

  test("prompts around tile and chunk bounds, and a context filled to its limit", async () => {
    const { contextLength } = model.info();
    for (const words of [1, 15, 16, 17]) {
      const { completionTokens } = await ask("a ".repeat(words), {}, 2);
      expect(completionTokens).toBeGreaterThan(0);
    }
    const { tokens } = model.prompts.render([{ role: "user", content: "" }]);
    let content = "a ".repeat(contextLength - tokens.length - 8);
    while (model.prompts.render([{ role: "user", content }]).tokens.length >= contextLength - 2) {
      content = content.slice(0, -4);
    }
    const eos = manifest.tokens.eos.map((id): [number, number] => [id, -100]);
    const full = await ask(content, { logitBias: eos }, 1000);
    expect(full.finishReason).toBe("length");
    expect(full.promptTokens + full.completionTokens).toBe(contextLength);
  });

  test("a prompt up to the last position of the model's true context, in chunks", async () => {
    const { context_length: contextLength, prefill_chunk: chunk } = manifest.limits;
    const host = testHost(files, await dawn());
    const whole = await load(host, { url: BASE, tier, contextLength }, () => {}, never);
    try {
      const { tokens } = whole.prompts.render([{ role: "user", content: "Tell me a story. " }]);
      const prompt = Array.from({ length: contextLength - 1 }, (_, i) => tokens[i % tokens.length]);
      const answer = async () => {
        const { completionTokens, cachedTokens, deltas } = await ask(
          prompt as number[],
          { logprobs: 0 },
          9,
          "error",
          whole,
        );
        expect(completionTokens).toBe(1);
        return { cachedTokens, drawn: deltas.flatMap((d) => d.logprobs)[0] as TokenLogprobs };
      };
      expect(contextLength).toBeGreaterThan(2 * chunk);
      const first = await answer();
      expect(first.cachedTokens).toBe(0);
      // The last position alone, after all others from the cache.
      const second = await answer();
      expect(second.cachedTokens).toBe(contextLength - 2);
      expect(second.drawn.token).toBe(first.drawn.token);
      expect(second.drawn.logprob).toBeCloseTo(first.drawn.logprob, 2);
    } finally {
      whole.unload();
    }
  });

  test("an answer beyond the context is what a prefill of the tokens that are kept goes on with", async () => {
    const { contextLength } = model.info();
    const { bytes } = model.text.tokenizer;
    const ids = new Map<string, number>();
    for (let id = manifest.model.vocab_size - 1; id >= 0; id--) ids.set(`${bytes.of(id)}`, id);
    const idsOf = (deltas: Delta[]) =>
      deltas.flatMap((d) => d.logprobs.map((t) => ids.get(`${t.bytes}`) as number));
    // Nothing ends it, and nothing is drawn that looks like another token.
    const logitBias = manifest.tokens.eos.map((id): [number, number] => [id, -100]);
    const sampling = { logprobs: 0, logitBias };
    const system = { role: "system" as const, content: "Be brief." };
    const messages = [system, { role: "user" as const, content: "Tell me a long story." }];
    const maxTokens = 1.5 * contextLength;
    const slid = await ask(messages, sampling, maxTokens, "slide");
    const answer = idsOf(slid.deltas);
    expect(slid).toMatchObject({ completionTokens: maxTokens, finishReason: "length" });
    expect(slid.slides).toBe(2);

    const { tokens: prompt, window } = model.prompts.fit(slid.request);
    const { sinks } = window as { sinks: number };
    expect(sinks).toBeGreaterThan(model.tokenize(system.content).length);
    const newest = Math.floor((contextLength - sinks) / 2);
    let known = [...prompt, ...answer.slice(0, contextLength - prompt.length)];
    for (let at = contextLength - prompt.length; at < answer.length; ) {
      known = [...known.slice(0, sinks), ...known.slice(-newest)];
      const part = answer.slice(at, at + contextLength - known.length);
      model.scheduler.kv.clear();
      expect(idsOf((await ask(known, sampling, part.length)).deltas)).toEqual(part);
      known.push(...part);
      at += part.length;
    }
  }, 120_000);
});
