import { afterEach, describe, expect, test } from "vitest";
import type { Program } from "../generated/program.js";
import { MemoryStore } from "../store/memory.js";
import { demoFiles } from "../testing/demo_serving.js";
import { BASE, dawn, fetchFrom, testHost } from "../testing/host.js";
import { GAMMA, replaceJson, tinyPack, VOCAB } from "../testing/tiny_pack.js";
import { canRun } from "./can_run.js";
import type { Host } from "./host.js";
import type { LanguageModel } from "./language_model.js";
import { type LoadOptions, load } from "./load.js";
import type { LoadProgress } from "./progress.js";

const never = new AbortController().signal;
const loaded: LanguageModel[] = [];

afterEach(() => {
  for (const model of loaded.splice(0)) model.unload();
});

async function loadTiny(host: Host, options: Partial<LoadOptions> = {}, signal = never) {
  const progress: LoadProgress[] = [];
  const model = await load(host, { url: BASE, ...options }, (p) => progress.push(p), signal);
  loaded.push(model);
  return { model, progress };
}

/** Dawn, whose devices, and adapters before them, are shown to these before the engine gets them. */
async function watched(
  look: (device: GPUDevice) => void,
  found: (adapter: GPUAdapter) => void = () => {},
): Promise<GPU> {
  const gpu = await dawn();
  return {
    async requestAdapter(options?: GPURequestAdapterOptions) {
      const adapter = (await gpu.requestAdapter(options)) as GPUAdapter;
      const requestDevice = adapter.requestDevice.bind(adapter);
      adapter.requestDevice = async (descriptor) => {
        const device = await requestDevice(descriptor);
        look(device);
        return device;
      };
      found(adapter);
      return adapter;
    },
  } as GPU;
}

/** The tiny pack with one JSON file changed, and pack.json's hash with it. */
// biome-ignore lint/suspicious/noExplicitAny: the tests break types on purpose
function changed(name: string, edit: (json: any) => void): Map<string, Uint8Array> {
  const pack = tinyPack();
  replaceJson(pack, name, edit);
  return pack;
}

describe("loading", () => {
  test("progress goes through its phases and ends with all bytes", async () => {
    const pack = tinyPack();
    const { progress, model } = await loadTiny(testHost(pack, await dawn()));
    const total = [...pack].reduce((n, [name, b]) => n + (name === "pack.json" ? 0 : b.length), 0);
    expect([...new Set(progress.map((p) => p.phase))].slice(-3)).toEqual([
      "compile",
      "warmup",
      "ready",
    ]);
    expect(progress.at(-1)).toMatchObject({
      phase: "ready",
      loadedBytes: total,
      totalBytes: total,
      etaSeconds: 0,
    });
    expect(model.stats().networkBytes).toBe(total + (pack.get("pack.json") as Uint8Array).length);
  });

  test("the second load takes nothing from the network", async () => {
    const store = new MemoryStore();
    const pack = tinyPack();
    await loadTiny(testHost(pack, await dawn(), store));
    const offline: Host = {
      ...testHost(pack, await dawn(), store),
      fetch: () => Promise.reject(new Error("offline")),
    };
    const { model } = await loadTiny(offline);
    expect(model.stats().networkBytes).toBe(0);
    expect(model.info().cache).toEqual({ kind: "memory", problem: null });
  });

  test("the second load asks the store for each file once, and for nothing else but the pack's record", async () => {
    const store = new MemoryStore();
    const pack = tinyPack();
    await loadTiny(testHost(pack, await dawn(), store));
    const asked: Record<string, number> = {};
    const counting = new Proxy(store, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== "function") return value;
        return (...args: unknown[]) => {
          asked[String(name)] = (asked[String(name)] ?? 0) + 1;
          return value.apply(target, args);
        };
      },
    });
    await loadTiny(testHost(pack, await dawn(), counting));
    // pack.json comes with the record; it is not one of its own files.
    expect(asked).toEqual({ keys: 1, get: 2, open: pack.size - 1 });
  });

  test("the device is asked for before the program is read", async () => {
    let made: () => void = () => {};
    const device = new Promise<void>((resolve) => {
      made = resolve;
    });
    const pack = tinyPack();
    const fetch: Host["fetch"] = async (url, init) => {
      if (url.endsWith("program.json")) await device;
      return fetchFrom(pack)(url, init);
    };
    const { model } = await loadTiny({ ...testHost(pack, await watched(() => made())), fetch });
    expect(model.info().tier).toBe("f32");
  });

  test("a tier that is not chosen is not looked at; one that is, is checked", async () => {
    const broken = (name: string) =>
      // biome-ignore lint/suspicious/noExplicitAny: the tests break types on purpose
      changed("program.json", ({ tiers }: any) => {
        tiers.f16 = structuredClone(tiers.f32);
        tiers[name].functions.decode.launches[0].label = 7;
      });
    const host = async (name: string) => testHost(broken(name), await dawn());
    const { model } = await loadTiny(await host("f16"));
    expect(model.info().tier).toBe("f32");
    for (const [name, options] of [
      ["f16", { tier: "f16" }],
      ["f32", {}],
    ] as const) {
      await expect(loadTiny(await host(name), options)).rejects.toMatchObject({
        name: "InvalidPack",
        message: expect.stringMatching(/tiers.f\d\d.functions.decode.launches.0.label/),
      });
    }
  });

  test.each([
    // What no token of a usual answer takes waits until nobody asks for anything.
    ["a software adapter, whose processor computes as well", true, []],
    ["a GPU", false, ["logprobs"]],
  ])(
    "kernels of a first token begin to compile, all at once, before the first weight is asked for: %s",
    async (_, software, rest) => {
      const begun: string[] = [];
      const look = (device: GPUDevice) => {
        const create = device.createComputePipelineAsync.bind(device);
        device.createComputePipelineAsync = (descriptor) => {
          begun.push(descriptor.label ?? "");
          return create(descriptor);
        };
      };
      const gpu = await watched(look, (adapter) => {
        const { vendor, architecture, device, description } = adapter.info;
        const info = { vendor, architecture, device, description, isFallbackAdapter: software };
        Object.defineProperty(adapter, "info", { value: info });
      });
      const pack = tinyPack();
      let compiling: string[] = [];
      const fetch: Host["fetch"] = (url, init) => {
        if (url.endsWith(".bin")) compiling = [...begun];
        return fetchFrom(pack)(url, init);
      };
      await loadTiny({ ...testHost(pack, gpu), fetch });
      expect(compiling.sort()).toEqual(["append", "head", "sample", "sum"]);
      expect(begun.slice(4)).toEqual(rest); // and each kernel once
    },
  );

  test.each([
    ["a shard of odd offsets", tinyPack, { copied: 0, written: 4 * (VOCAB + GAMMA.length) }],
    ["the demo pack", demoFiles, undefined],
  ])(
    "stored weights are read into memory of the GPU, each byte once: %s",
    async (_, make, only) => {
      const store = new MemoryStore();
      const pack = make();
      const { segments }: Pick<Program, "segments"> = JSON.parse(
        new TextDecoder().decode(pack.get("program.json")),
      );
      const bytesOf = (transform: Program["segments"][number]["transform"]) =>
        segments.reduce((sum, one) => sum + (one.transform === transform ? one.nbytes : 0), 0);
      // What is resident in another type than it is stored in goes there from memory of its own.
      const expected = only ?? { copied: bytesOf("none"), written: 2 * bytesOf("f16_to_f32") };
      await loadTiny(testHost(pack, await dawn(), store));
      const shards = [...pack].filter(([name]) => name.endsWith(".bin"));
      const shardBytes = shards.reduce((sum, [, bytes]) => sum + bytes.length, 0);
      const mapped = new Set<ArrayBufferLike>();
      let readThere = 0;
      const open = store.open.bind(store);
      store.open = async (key) => {
        const reader = await open(key);
        return (
          reader && {
            size: reader.size,
            read: (into, at) => {
              if (mapped.has(into.buffer)) readThere += into.length;
              return reader.read(into, at);
            },
            close: () => reader.close(),
          }
        );
      };
      const toArena = { copied: 0, written: 0 };
      const isArena = (buffer: GPUBuffer) => buffer.label.startsWith("weights.");
      const gpu = await watched((device) => {
        const createBuffer = device.createBuffer.bind(device);
        device.createBuffer = (descriptor) => {
          const buffer = createBuffer(descriptor);
          const getMappedRange = buffer.getMappedRange.bind(buffer);
          buffer.getMappedRange = (...part) => {
            const memory = getMappedRange(...part);
            mapped.add(memory);
            return memory;
          };
          return buffer;
        };
        const createCommandEncoder = device.createCommandEncoder.bind(device);
        device.createCommandEncoder = (descriptor) => {
          const encoder = createCommandEncoder(descriptor);
          const copy = encoder.copyBufferToBuffer.bind(encoder);
          encoder.copyBufferToBuffer = (from: GPUBuffer, ...rest: unknown[]) => {
            const [at, to, offset, size] = rest as [number, GPUBuffer, number, number];
            if (isArena(to)) toArena.copied += size;
            return copy(from, at, to, offset, size);
          };
          return encoder;
        };
        const { queue } = device;
        const write = queue.writeBuffer.bind(queue);
        queue.writeBuffer = (buffer: GPUBuffer, offset: number, data: Uint8Array<ArrayBuffer>) => {
          if (isArena(buffer)) toArena.written += data.byteLength;
          return write(buffer, offset, data);
        };
      });
      const { model } = await loadTiny(testHost(pack, gpu, store));
      expect(model.stats().networkBytes).toBe(0);
      expect(readThere).toBe(shardBytes);
      expect(toArena).toEqual(expected);
    },
  );

  test("context, batch and KV pool are chosen; too large or senseless ones are refused", async () => {
    const host = testHost(tinyPack(), await dawn());
    const { model } = await loadTiny(host, { contextLength: 30 });
    expect(model.info()).toMatchObject({ contextLength: 30, maxBatch: 2, kvTokens: 60 });
    expect(model.info().bytes.kv).toBe(15 * 4 * 4);
    for (const [param, values] of [
      ["contextLength", [1000, 1, 2.5]],
      ["maxBatch", [3, 0, 1.5]],
      ["kvTokens", [63, 1, Number.NaN]],
    ] as const) {
      for (const value of values) {
        const refused = { name: "InvalidRequestError", param };
        await expect(loadTiny(host, { [param]: value })).rejects.toMatchObject(refused);
      }
    }
  });

  test("the prefix cache keeps what it may; senseless options are refused before a file is read", async () => {
    const host = testHost(tinyPack(), await dawn());
    const { model } = await loadTiny(host, { prefixCache: { tokens: 11, evict: "lfu" } });
    expect(model.scheduler.kv.tree.budget).toBe(2);
    const nothing = { ...host, fetch: () => Promise.reject(new Error("a file was asked for")) };
    const options = { url: BASE, prefixCache: { tokens: -1 } };
    for (const call of [loadTiny(nothing, options), canRun(nothing, options, never)]) {
      await expect(call).rejects.toMatchObject({
        name: "InvalidRequestError",
        param: "prefixCache",
      });
    }
  });

  test("every byte that a load allocates was predicted, and follows what it chose", async () => {
    let allocated = 0;
    const gpu = await watched((device) => {
      const create = device.createBuffer.bind(device);
      device.createBuffer = (descriptor) => {
        allocated += descriptor.size;
        return create(descriptor);
      };
    });
    const totals: number[] = [];
    for (const options of [{ maxBatch: 1, kvTokens: 64 }, { kvTokens: 64 }, { kvTokens: 128 }]) {
      allocated = 0;
      const { model } = await loadTiny(testHost(tinyPack(), gpu), options);
      expect(model.info().bytes.total).toBe(allocated);
      totals.push(allocated);
    }
    const [alone, both, pool] = totals as [number, number, number];
    // A slot more: counts and biases. Positions of 4 bytes; the inputs' alignment hides theirs.
    expect(both - alone).toBeGreaterThanOrEqual(2 * 4 * VOCAB);
    expect(pool - both).toBe(64 * 4);
  });

  test("no WebGPU, no adapter, unknown tier: named", async () => {
    const host = testHost(tinyPack(), await dawn());
    await expect(loadTiny({ ...host, gpu: undefined })).rejects.toMatchObject({ name: "NoWebGPU" });
    const none = { requestAdapter: async () => null } as unknown as GPU;
    await expect(loadTiny({ ...host, gpu: none })).rejects.toMatchObject({ name: "NoWebGPU" });
    await expect(loadTiny(host, { tier: "f8" })).rejects.toMatchObject({ name: "AdapterLimit" });
  });

  test("a kernel that doesn't compile is named, with the compiler's words", async () => {
    const pack = changed("kernels.json", (j) => {
      j.kernels.head.wgsl = j.kernels.head.wgsl.replace("abs(", "nope(");
    });
    await expect(loadTiny(testHost(pack, await dawn()))).rejects.toMatchObject({
      name: "DeviceError",
      message: expect.stringMatching(/kernel head does not compile.*nope/),
    });
  });

  test("too many workgroups are found at load", async () => {
    const pack = changed("program.json", (j) => {
      j.tiers.f32.functions.decode.launches[0].grid = [["*", "tokens", 10_000], 1, 1];
    });
    await expect(loadTiny(testHost(pack, await dawn()))).rejects.toMatchObject({
      name: "InvalidPack",
      message: expect.stringContaining("80000 workgroups"),
    });
  });

  test("a tokenizer of an unknown kind is a TokenizerError; broken JSON an InvalidPack", async () => {
    const pack = changed("tokenizer.json", (j) => {
      j.model = { type: "Nope" };
    });
    await expect(loadTiny(testHost(pack, await dawn()))).rejects.toMatchObject({
      name: "TokenizerError",
    });
  });

  test("abort at any moment: AbortError, and the next load works", async () => {
    const store = new MemoryStore();
    const pack = tinyPack();
    for (let after = 0; after < 12; after++) {
      const controller = new AbortController();
      let calls = 0;
      const host = testHost(pack, await dawn(), store);
      const fetch: Host["fetch"] = async (url, init) => {
        if (calls++ === after) controller.abort();
        return fetchFrom(pack)(url, init);
      };
      const result = loadTiny({ ...host, fetch }, {}, controller.signal);
      if (calls > 0 || after < 9)
        await result.catch((e: Error) => expect(e.name).toBe("AbortError"));
    }
    const { model } = await loadTiny(testHost(pack, await dawn(), store));
    const result = await model.generate(
      {
        messages: [{ role: "user", content: "hi" }],
        maxTokens: 3,
        stop: [],
        sampling: { frequencyPenalty: 0, presencePenalty: 0, logitBias: [], logprobs: null },
      },
      { delta: () => {} },
      never,
    );
    expect(result.completionTokens).toBe(3);
  });

  test("a tampered shard fails the load by name", async () => {
    const pack = tinyPack();
    const shard = (pack.get("params_shard_0.bin") as Uint8Array).slice();
    shard[100] = (shard[100] as number) ^ 1;
    pack.set("params_shard_0.bin", shard);
    await expect(loadTiny(testHost(pack, await dawn()))).rejects.toMatchObject({
      name: "HashMismatch",
    });
  });
});

describe("canRun", () => {
  test("says what it would take", async () => {
    const report = await canRun(testHost(tinyPack(), await dawn()), { url: BASE }, never);
    expect(report).toMatchObject({ ok: true, tier: "f32", reasons: [], contextLength: 64 });
    const { model } = await loadTiny(testHost(tinyPack(), await dawn()));
    expect(report.bytes).toEqual(model.info().bytes);
  });

  test("says why not", async () => {
    const host = testHost(tinyPack(), await dawn());
    const blind = await canRun({ ...host, gpu: undefined }, { url: BASE }, never);
    expect(blind).toMatchObject({
      ok: false,
      tier: null,
      reasons: [expect.stringContaining("no WebGPU")],
    });
    const pack = changed("program.json", (j) => {
      j.tiers.f32.requires = ["no-such-feature"];
    });
    const lacking = await canRun(testHost(pack, await dawn()), { url: BASE }, never);
    expect(lacking).toMatchObject({
      ok: false,
      reasons: [expect.stringContaining("no-such-feature")],
    });
    const large = changed("kernels.json", (j) => {
      j.kernels.head.workgroup_bytes = 2 ** 24;
    });
    const small = await canRun(testHost(large, await dawn()), { url: BASE }, never);
    expect(small.reasons).toEqual([
      expect.stringMatching(/maxComputeWorkgroupStorageSize is \d+, the pack needs 16777216/),
    ]);
  });
});
