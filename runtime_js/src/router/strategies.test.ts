import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { Engine, type EngineStats, InvalidRequestError } from "../index.js";
import { dawn } from "../testing/host.js";
import { TEMPLATE, tinyPack } from "../testing/tiny_pack.js";
import { balancedSplit, cacheAware, kvMigration, prefillDecode, roundRobin } from "./index.js";
import { Router, type Strategy } from "./router.js";

let folder: string;
let engines: Engine[];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "pack-"));
  for (const [name, bytes] of tinyPack(128, `{{ mood }}${TEMPLATE}`))
    writeFileSync(join(folder, name), bytes);
  const gpu = await dawn();
  engines = await Promise.all([0, 1].map(() => Engine.load(folder, { worker: false, gpu })));
});

afterAll(async () => {
  await Promise.all(engines.map((engine) => engine.unload()));
  rmSync(folder, { recursive: true });
});

/** How often each call was made, of each engine, since `watch`. */
function watch() {
  const counts = engines.map((engine) => ({
    prepRecv: vi.spyOn(engine, "prepRecv"),
    remoteSend: vi.spyOn(engine, "remoteSend"),
    startGenerate: vi.spyOn(engine, "startGenerate"),
  }));
  return {
    calls: (name: "prepRecv" | "remoteSend" | "startGenerate") =>
      counts.map((c) => c[name].mock.calls.length),
    total: () => counts.flatMap((c) => Object.values(c)).flatMap((spy) => spy.mock.calls).length,
    end() {
      for (const spy of counts.flatMap((c) => Object.values(c))) spy.mockRestore();
    },
  };
}

let salt = 0;
/** Questions of different lengths, some of which go on from others. */
const questions = (count: number) => {
  salt++;
  return Array.from({ length: count }, (_, i) => {
    const topic = `${salt}/${i % 5} `.padEnd(8 + ((i * 13) % 40), "ab cd ");
    return [{ role: "user" as const, content: `${topic}${i}` }];
  });
};

async function ask(create: Router["chat"]["completions"]["create"], count: number) {
  const answers: (string | null | undefined)[] = [];
  const all = questions(count);
  const lane = async (first: number) => {
    for (let i = first; i < count; i += 4) {
      const messages = all[i] as (typeof all)[number];
      const params = { messages, temperature: 0, max_tokens: 3 + (i % 6) };
      if (i % 2) {
        const said = await create(params);
        answers[i] = said.choices[0]?.message.content;
      } else {
        let text = "";
        for await (const chunk of await create({ ...params, stream: true })) {
          text += chunk.choices[0]?.delta.content ?? "";
        }
        answers[i] = text;
      }
    }
  };
  await Promise.all([0, 1, 2, 3].map(lane));
  return answers;
}

const strategies: [name: string, make: () => Strategy][] = [
  ["roundRobin", () => roundRobin()],
  ["prefillDecode", () => prefillDecode({ long: 16 })],
  ["balancedSplit", () => balancedSplit({ long: 16 })],
  ["kvMigration", () => kvMigration({ worthwhile: 4 })],
  ["cacheAware", () => cacheAware({ tokens: 8 })],
];

describe("strategies", () => {
  test.each(strategies)(
    "%s gives the answers of one engine, and leaves nothing behind",
    async (name, make) => {
      const router = new Router(engines, make());
      const seen = watch();
      const answers = await ask(router.chat.completions.create, 24);
      const generated = seen.calls("startGenerate");
      const sent = seen.calls("remoteSend").reduce((sum, n) => sum + n);
      seen.end();
      salt--; // the same questions again
      const [engine] = engines as [Engine];
      const create = engine.chat.completions.create.bind(engine.chat.completions);
      expect(answers).toEqual(await ask(create as typeof router.chat.completions.create, 24));
      expect(generated.reduce((sum, n) => sum + n)).toBe(24);
      if (name === "prefillDecode") expect(generated).toEqual([0, 24]);
      if (name === "roundRobin") expect(generated).toEqual([12, 12]);
      const sends = ["prefillDecode", "balancedSplit", "kvMigration"].includes(name);
      expect(sent > 0).toBe(sends);
      for (const { active } of router.engines) expect(active).toBe(0);
      for (const engine of engines) {
        const { pages, running, waiting } = (await engine.stats()) as EngineStats;
        expect({ held: pages.running, running, waiting }).toEqual({
          held: 0,
          running: 0,
          waiting: 0,
        });
      }
    },
  );

  test("each is at most 30 lines", () => {
    const code = readFileSync(new URL("./strategies.ts", import.meta.url), "utf8");
    const functions = [...code.matchAll(/^export (?:async )?function (\w+)[\s\S]*?^}/gm)];
    expect(functions.map(([, name]) => name)).toEqual([
      ...strategies.map(([name]) => name),
      "move",
    ]);
    for (const [text] of functions) expect(text.split("\n").length).toBeLessThanOrEqual(30);
  });

  test("a request that is no request reaches no engine", async () => {
    const seen = watch();
    for (const [, make] of strategies) {
      const { create } = new Router(engines, make()).chat.completions;
      await expect(create({ messages: [], max_tokens: 1 })).rejects.toBeInstanceOf(
        InvalidRequestError,
      );
    }
    expect(seen.calls("prepRecv")).toEqual([0, 0]);
    expect(seen.calls("startGenerate")).toEqual([0, 0]);
    seen.end();
    expect(() => new Router([], roundRobin())).toThrow(RangeError);
    const alone = new Router(engines.slice(0, 1), prefillDecode());
    const messages = [{ role: "user" as const, content: "?" }];
    await expect(alone.chat.completions.create({ messages })).rejects.toBeInstanceOf(RangeError);
  });

  // Moments, not times: a fast machine answers in less time than a timer takes.
  test.each(["at once", "as an engine is asked", "in the answer"])(
    "an abort ends what is under way: %s",
    async (moment) => {
      for (const [, make] of strategies) {
        const router = new Router(engines, make());
        const controller = new AbortController();
        const { signal } = controller;
        const messages = [{ role: "user" as const, content: `abort ${salt++} `.repeat(4) }];
        const params = { messages, max_tokens: 40, webbuild: { ignore_eos: true } };
        const answered = async () => {
          const stream = await router.chat.completions.create(
            { ...params, stream: true },
            { signal },
          );
          for await (const _ of stream) if (moment === "in the answer") controller.abort();
        };
        const seen = watch();
        const { create } = router.chat.completions;
        const whole = moment === "in the answer" ? [] : [create(params, { signal })];
        const ended = Promise.all(
          [answered(), ...whole].map((asked) =>
            expect(asked).rejects.toMatchObject({ name: "AbortError" }),
          ),
        );
        while (moment === "as an engine is asked" && !controller.signal.aborted) {
          await new Promise(setImmediate);
          if (seen.total() > 0) controller.abort();
        }
        if (moment === "at once") controller.abort();
        await ended;
        seen.end();
        await vi.waitFor(() => {
          for (const { active } of router.engines) expect(active).toBe(0);
        });
      }
      for (const engine of engines) {
        await vi.waitFor(async () => expect((await engine.stats()).running).toBe(0));
      }
    },
  );

  test("what is sent is the prompt that the request has, with its settings", async () => {
    const seen = watch();
    const router = new Router(engines, prefillDecode({ long: 8 }));
    const messages = [{ role: "user" as const, content: "with settings and all" }];
    const webbuild = { template: { mood: "gay" }, top_k: 3 };
    const params = { messages, webbuild, temperature: 0, max_tokens: 5 };
    const said = await router.chat.completions.create(params);
    expect(seen.calls("remoteSend")).toEqual([1, 0]);
    seen.end();
    const { usage } = said;
    expect(usage.prompt_tokens_details.cached_tokens).toBe(usage.prompt_tokens - 1);
    const plain = { messages, temperature: 0, max_tokens: 5 };
    const [from] = engines as [Engine];
    const other = await from.chat.completions.create(plain);
    expect(usage.prompt_tokens).toBe(other.usage.prompt_tokens + "gay".length);
    expect(said.choices).toEqual((await from.chat.completions.create(params)).choices);
  });

  test("a prompt that fills an engine's pages is answered, not waited for", async () => {
    const gpu = await dawn();
    const options = { worker: false, gpu, contextLength: 64, kvTokens: 64 } as const;
    const small = await Promise.all([0, 1].map(() => Engine.load(folder, options)));
    const [from] = small as [Engine];
    const messages = [{ role: "user" as const, content: "abcdefghijklmnopqrstuvwxyz".repeat(2) }];
    const params = { messages, temperature: 0, max_tokens: 2 };
    const spy = vi.spyOn(small[1] as Engine, "prepRecv");
    const said = await new Router(small, prefillDecode({ long: 8 })).chat.completions.create(
      params,
    );
    const [, reserved] = await Promise.allSettled(spy.mock.results.map(({ value }) => value));
    expect(reserved).toMatchObject({ status: "rejected", reason: { name: "KvRefused" } });
    expect(said.choices).toEqual((await from.chat.completions.create(params)).choices);
    await Promise.all(small.map((engine) => engine.unload()));
  });

  test("what can't be sent is computed where it is needed", async () => {
    const router = new Router(engines, prefillDecode({ long: 8 }));
    const [from] = engines as [Engine];
    const spy = vi.spyOn(from, "remoteSend").mockRejectedValueOnce(new Error("no way"));
    const messages = [{ role: "user" as const, content: "a way without sending" }];
    const params = { messages, temperature: 0, max_tokens: 5 };
    const said = await router.chat.completions.create(params);
    expect(spy).toHaveBeenCalledTimes(1);
    expect(said.choices).toEqual((await from.chat.completions.create(params)).choices);
    spy.mockRestore();
  });
});
