/** The engine's end of a benchmark: methods over the package's worker protocol. */
import type { Host } from "../engine/host.js";
import type { LanguageModel } from "../engine/language_model.js";
import { type LoadOptions, load } from "../engine/load.js";
import { openSource, readProgram } from "../engine/opening.js";
import type { LoadProgress } from "../engine/progress.js";
import { EngineUnloaded } from "../errors.js";
import { Profiler } from "../gpu/profiler.js";
import { dispatch } from "../worker/dispatch.js";
import type { Port } from "../worker/protocol.js";
import { measureBandwidth } from "./bandwidth.js";
import { measureGeneration } from "./generation.js";
import { LoadMeter } from "./load_meter.js";
import { decodeTraffic } from "./traffic.js";
import type {
  Bandwidth,
  Case,
  Generation,
  LoadReport,
  ProfiledStep,
  ProfileMode,
  StepTraffic,
} from "./types.js";

/** `(args, event) => result`, as `Methods` of the protocol. */
export type BenchMethods = {
  load: (options: LoadOptions, event: LoadProgress) => LoadReport;
  generate: (what: Case, event: never) => Generation;
  profile: (args: { what: Case; mode: ProfileMode }, event: never) => ProfiledStep[];
  bandwidth: (nbytes: number, event: never) => Bandwidth;
  traffic: (contexts: readonly number[], event: never) => StepTraffic[];
  unload: (args: null, event: never) => null;
};

/** Serves benchmarks on a port. @returns frees the engine */
export function serveBench(port: Port, host: Host): () => void {
  let model: LanguageModel | undefined;
  let options: LoadOptions = { url: "" };
  const loaded = (): LanguageModel => {
    if (!model) throw new EngineUnloaded("no model is loaded");
    return model;
  };
  const unload = () => {
    model?.unload();
    model = undefined;
    return null;
  };
  dispatch<BenchMethods>(port, {
    async load(wanted, { signal, emit }) {
      unload();
      options = { ...wanted, recovery: { losses: 0 } }; // what is measured has one device
      const meter = new LoadMeter();
      const listen = (progress: LoadProgress) => {
        meter.progress(progress);
        emit(progress);
      };
      model = await load(meter.host(host), options, listen, signal);
      const parts = meter.parts();
      await model.finish(); // what is measured from now on has nothing left to compile
      const timestamps = model.executor.gpu.device.features.has("timestamp-query");
      return { info: model.info(), parts, total: parts.total, timestamps };
    },
    generate: (what, { signal }) => measureGeneration(loaded(), what, signal),
    async profile({ what, mode }, { signal }) {
      const { device, failed } = loaded().executor.gpu;
      const profiler = new Profiler(device, mode);
      const { detail } = await measureGeneration(loaded(), what, signal).finally(() =>
        profiler.stop(),
      );
      const steps = await Promise.race([profiler.results(), failed]);
      return steps.map((launches, i) => ({ tokens: detail?.steps[i]?.tokens ?? 0, launches }));
    },
    bandwidth: (nbytes) => measureBandwidth(host.gpu, nbytes),
    async traffic(contexts, { signal }) {
      const { tier } = loaded().info();
      const source = await openSource(host, options, signal);
      const program = await readProgram(source, await source.manifest());
      const { software } = loaded().executor.gpu;
      return contexts.map((context) => decodeTraffic(program, tier, context, software));
    },
    unload,
  });
  return unload;
}
