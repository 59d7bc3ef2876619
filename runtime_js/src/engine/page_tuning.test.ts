import { afterEach, describe, expect, it, vi } from "vitest";
import type { Kernel } from "../generated/kernels.js";
import { MemoryStore } from "../store/memory.js";
import { PackCache } from "../store/pack_cache.js";
import { BASE, dawn, testHost } from "../testing/host.js";
import { replaceJson, tinyKernels, tinyPack } from "../testing/tiny_pack.js";
import type { LanguageModel } from "./language_model.js";
import { type LoadOptions, load } from "./load.js";
import type { LoadProgress } from "./progress.js";

const never = new AbortController().signal;
const loaded: LanguageModel[] = [];

afterEach(() => {
  for (const model of loaded.splice(0)) model.unload();
  vi.restoreAllMocks();
});

/** The tiny pack whose head has other kernels, too: what `edit` makes of its source, by tuning. */
function packWith(edits: Record<string, (wgsl: string) => string>): Map<string, Uint8Array> {
  const pack = tinyPack();
  const head = { ...(tinyKernels().kernels.head as Kernel), tuning_key: "head N=260" };
  replaceJson(pack, "kernels.json", (file) => {
    file.kernels.head = { ...head, tuning: "default" };
    for (const [tuning, edit] of Object.entries(edits)) {
      file.kernels[tuning] = { ...head, name: tuning, tuning, wgsl: edit(head.wgsl) };
    }
  });
  replaceJson(pack, "program.json", (program) => {
    for (const fn of Object.values<{ launches: { kernel: string }[] }>(
      program.tiers.f32.functions,
    )) {
      fn.launches = fn.launches.map((launch) =>
        launch.kernel === "head"
          ? {
              ...launch,
              alternatives: Object.keys(edits).map((kernel) => ({ ...pick(launch), kernel })),
            }
          : launch,
      );
    }
  });
  return pack;
}

// biome-ignore lint/suspicious/noExplicitAny: JSON of any shape
const pick = ({ grid }: any) => ({ grid });

async function loadWith(
  pack: Map<string, Uint8Array>,
  options: Partial<LoadOptions>,
  store = new MemoryStore(),
  signal = never,
  onProgress: (progress: LoadProgress) => void = () => {},
): Promise<LanguageModel> {
  const host = testHost(pack, await dawn(), store);
  const model = await load(host, { url: BASE, ...options }, onProgress, signal);
  loaded.push(model);
  return model;
}

async function answer(model: LanguageModel): Promise<string> {
  let text = "";
  await model.generate(
    {
      messages: [{ role: "user", content: "hi" }],
      maxTokens: 8,
      stop: [],
      sampling: { frequencyPenalty: 0, presencePenalty: 0, logitBias: [], logprobs: null },
    },
    { delta: (delta) => (text += delta.text) },
    never,
  );
  return text;
}

const same = (wgsl: string) => `// another\n${wgsl}`;
/** Writes nothing: as fast as can be. */
const wrong = (wgsl: string) => wgsl.replace(/(fn main\([^)]*\)[^{]*\{)/, "$1\n  return;");
const broken = (wgsl: string) => `${wgsl}\nfn {`;

describe("tune: true", () => {
  it("measures once, keeps the result beside the pack, and takes it the next time", async () => {
    const store = new MemoryStore();
    const pack = packWith({ same });
    const first = await loadWith(pack, { tune: true }, store);
    expect(first.info().tuning).toEqual({ measured: 1, cached: false, problem: null });
    const second = await loadWith(pack, { tune: true }, store);
    expect(second.info().tuning).toEqual({ measured: 1, cached: true, problem: null });
    const plain = await loadWith(pack, {}, store);
    expect(plain.info().tuning).toBeNull();
    const answers = [await answer(first), await answer(second), await answer(plain)];
    expect(new Set(answers).size).toBe(1);
    // A kernel is compiled for each of the program's and, the first time, for each candidate.
    const { createdPipelines } = second.stats();
    expect(first.stats().createdPipelines).toBeGreaterThan(createdPipelines);
    expect(createdPipelines).toBe(plain.stats().createdPipelines);
    await new PackCache(store).forget(BASE);
    expect(await store.keys()).toEqual([]);
  });

  it("goes on in the next load with what there was no time for", async () => {
    const store = new MemoryStore();
    const pack = packWith({ same });
    const later = vi.spyOn(performance, "now");
    // The time is over as soon as tuning begins.
    const first = await loadWith(pack, { tune: true }, store, never, ({ phase }) => {
      const now = performance.now();
      let calls = 0;
      if (phase === "tune") later.mockImplementation(() => now + (calls++ > 0 ? 1e6 : 0));
    });
    later.mockRestore();
    const problem = expect.stringContaining("no time");
    expect(first.info().tuning).toEqual({ measured: 0, cached: false, problem });
    const second = await loadWith(pack, { tune: true }, store);
    expect(second.info().tuning).toEqual({ measured: 1, cached: false, problem: null });
    const third = await loadWith(pack, { tune: true }, store);
    expect(third.info().tuning).toEqual({ measured: 1, cached: true, problem: null });
    expect(await answer(first)).toBe(await answer(second));
  });

  it("never takes a kernel whose results differ, however fast", async () => {
    const pack = packWith({ wrong });
    expect(wrong("fn main(a: u32) {")).toContain("return;");
    const tuned = await loadWith(pack, { tune: true });
    expect(tuned.info().tuning).toEqual({ measured: 1, cached: false, problem: null });
    const plain = await loadWith(tinyPack(), {});
    expect(await answer(tuned)).toBe(await answer(plain));
  });

  it("goes on with the default kernels when it fails, and says so", async () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const store = new MemoryStore();
    const model = await loadWith(packWith({ broken }), { tune: true }, store);
    expect(model.info().tuning).toMatchObject({
      measured: 0,
      problem: expect.stringContaining("kernel broken does not compile"),
    });
    expect(warn).toHaveBeenCalledOnce();
    const plain = await loadWith(tinyPack(), {});
    expect(await answer(model)).toBe(await answer(plain));
    expect((await store.keys()).filter((key) => key.startsWith("tuned-"))).toEqual([]);
  });

  it("can be aborted", async () => {
    const controller = new AbortController();
    const phases: string[] = [];
    const loading = loadWith(
      packWith({ same }),
      { tune: true },
      new MemoryStore(),
      controller.signal,
      ({ phase }) => {
        phases.push(phase);
        if (phase === "tune") controller.abort();
      },
    );
    await expect(loading).rejects.toMatchObject({ name: "AbortError" });
    expect(phases.at(-1)).toBe("tune");
  });

  it("loads again without tuning when the device is lost", async () => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    const store = new MemoryStore();
    const gpu = await dawn();
    let device: GPUDevice | undefined;
    const watched = {
      requestAdapter: async (options?: GPURequestAdapterOptions) => {
        const adapter = await gpu.requestAdapter(options);
        const request = adapter?.requestDevice.bind(adapter);
        if (!adapter || !request) return adapter;
        Object.defineProperty(adapter, "requestDevice", {
          value: async (descriptor?: GPUDeviceDescriptor) => {
            device = await request(descriptor);
            return device;
          },
        });
        return adapter;
      },
    } as unknown as GPU;
    const host = testHost(packWith({ same }), watched, store);
    const options = { url: BASE, tune: true };
    let losses = 0;
    const onProgress = ({ phase }: LoadProgress) => {
      if (phase === "tune" && losses++ === 0) device?.destroy();
    };
    const model = await load(host, options, onProgress, never);
    loaded.push(model);
    expect(losses).toBe(1);
    expect(model.info().tuning).toBeNull();
    const again = await load(host, options, () => {}, never);
    loaded.push(again);
    expect(again.info().tuning).toEqual({ measured: 0, cached: true, problem: null });
    expect(await answer(again)).toBe(await answer(model));
  });
});
