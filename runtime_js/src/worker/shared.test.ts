/** Pages that share engines, over real ports, with the toy model on a real device. */
import { afterEach, describe, expect, test } from "vitest";
import type { LoadOptions } from "../engine/load.js";
import type { LoadProgress } from "../engine/progress.js";
import { AbortError, EngineUnloaded, HostUnsupported, MissingFile } from "../errors.js";
import { BASE, dawn, testHost, watched } from "../testing/host.js";
import { tinyPack } from "../testing/tiny_pack.js";
import { ask } from "../testing/tiny_requests.js";
import { connectClient } from "./client.js";
import type { GenerateEvent, Port } from "./protocol.js";
import { SharedEngines } from "./shared.js";

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** An empty place for engines. @returns `page` attaches one more; `devices` that were made so far */
async function place(files = tinyPack()) {
  const { gpu, devices } = watched(await dawn());
  const engines = new SharedEngines(testHost(files, gpu));
  const page = async () => {
    const { port1, port2 } = new MessageChannel();
    const detach = engines.attach(port2 as Port);
    ends.push(() => {
      detach();
      port1.close();
    });
    const { call } = await connectClient(port1 as Port, new Promise<never>(() => {}));
    const load = (
      options: Partial<LoadOptions> = {},
      ...rest: [Parameters<typeof call.load>[1]?]
    ) => call.load({ url: BASE, ...options }, ...rest);
    return { call, detach, load };
  };
  return { page, devices, files };
}

describe("pages that share engines", () => {
  test("who asks for the same gets the same engine, while it loads and after", async () => {
    const { page, devices } = await place();
    const [a, b, c] = [await page(), await page(), await page()];
    const progress: LoadProgress[] = [];
    const both = [a.load(), b.load({ revalidate: true }, { onEvent: (p) => progress.push(p) })];
    const [one, two] = await Promise.all(both);
    const three = await c.load();
    expect([two?.id, three.id]).toEqual([one?.id, one?.id]);
    expect(devices.length).toBe(1);
    expect(progress.at(-1)?.phase).toBe("ready");
    const answers = await Promise.all([a, b, c].map(({ call }) => call.generate(ask("hi"))));
    expect(
      new Set(answers.map((answer) => JSON.stringify({ ...answer, cachedTokens: 0 }))).size,
    ).toBe(1);
    expect((await c.call.stats(null)).requests).toBe(3);
  });

  test("whoever loads again after the device was lost for good gets another, though others have the lost one", async () => {
    const { page, devices } = await place();
    const [a, b] = [await page(), await page()];
    const options = { recovery: { losses: 0 } };
    await Promise.all([a.load(options), b.load(options)]);
    devices[0]?.destroy();
    await expect(a.call.generate(ask("hi"))).rejects.toMatchObject({ name: "DeviceLostError" });
    await a.load(options);
    expect(await a.call.generate(ask("hi"))).toMatchObject({ completionTokens: 24 });
    await expect(b.call.generate(ask("hi"))).rejects.toMatchObject({ name: "DeviceLostError" });
    await b.load(options);
    expect(await b.call.generate(ask("hi"))).toMatchObject({ completionTokens: 24 });
    expect(devices).toHaveLength(2);
  });

  test("other options make another engine", async () => {
    const { page, devices } = await place();
    const [a, b] = [await page(), await page()];
    const one = await a.load({ maxBatch: 1 });
    const two = await b.load({ maxBatch: 2 });
    expect(one.id).not.toBe(two.id);
    expect(devices.length).toBe(2);
  });

  test("it outlives the page that started it; the last that leaves frees it", async () => {
    const { page, devices } = await place();
    const [a, b] = [await page(), await page()];
    await a.load();
    await b.load();
    a.detach();
    expect((await b.call.generate(ask("hi"))).completionTokens).toBeGreaterThan(0);
    await b.call.unload(null);
    expect((await devices[0]?.lost)?.reason).toBe("destroyed");
    await expect(b.call.stats(null)).rejects.toBeInstanceOf(EngineUnloaded);
    await b.load(); // from the beginning
    expect(devices.length).toBe(2);
  });

  test("the requests of a page that goes end, the others' go on", async () => {
    const { page } = await place();
    const [a, b] = [await page(), await page()];
    await a.load({ maxBatch: 1 });
    await b.load({ maxBatch: 1 });
    const begun = new Promise<void>((resolve) => {
      const onEvent = (event: GenerateEvent) => event.kind === "deltas" && resolve();
      const endless = { ...ask("a"), maxTokens: null };
      a.call.generate({ ...endless, overflow: "slide" }, { onEvent }).catch(() => {});
    });
    await begun;
    const waiting = b.call.generate(ask("b"));
    a.detach();
    expect((await waiting).completionTokens).toBeGreaterThan(0);
    expect(await b.call.stats(null)).toMatchObject({ running: 0, waiting: 0 });
  });

  test("a load goes on for those who still wait, and ends when nobody does", async () => {
    const { page, devices } = await place();
    const [a, b] = [await page(), await page()];
    const controller = new AbortController();
    const first = a.load({}, { signal: controller.signal });
    const second = b.load();
    controller.abort();
    await expect(first).rejects.toBeInstanceOf(AbortError);
    await second;
    expect((await b.call.generate(ask("hi"))).completionTokens).toBeGreaterThan(0);

    const c = await page();
    let ended: Promise<void> | undefined;
    await new Promise<void>((resolve) => {
      ended = expect(c.load({ maxBatch: 1 }, { onEvent: () => resolve() })).rejects.toThrow();
    });
    c.detach();
    await ended;
    expect((await devices[1]?.lost)?.reason).toBe("destroyed");
  });

  test("a load that fails fails for all who wait, and the next begins anew", async () => {
    const { page, files } = await place();
    const shard = files.get("params_shard_0.bin") as Uint8Array;
    files.delete("params_shard_0.bin");
    const [a, b] = [await page(), await page()];
    const failed = await Promise.allSettled([a.load(), b.load()]);
    for (const one of failed) {
      expect(one).toMatchObject({ status: "rejected", reason: expect.any(MissingFile) });
    }
    files.set("params_shard_0.bin", shard);
    expect((await a.load()).id).toBe((await b.load()).id);
  });

  test("without WebGPU the host is refused by name", async () => {
    const engines = new SharedEngines({ ...testHost(new Map(), await dawn()), gpu: undefined });
    const { port1, port2 } = new MessageChannel();
    ends.push(engines.attach(port2 as Port), () => port1.close());
    const { call } = await connectClient(port1 as Port, new Promise<never>(() => {}));
    await expect(call.load({ url: BASE })).rejects.toBeInstanceOf(HostUnsupported);
  });
});
