/** webbuild/bench: measures a pack on this device. A page that does not import it loads none of it. */
export type {
  BenchReport,
  CaseReport,
  ProfileReport,
  SubjectReport,
} from "../generated/bench_report.js";
export { type Channel, runAgent } from "./agent.js";
export { Bench } from "./bench.js";
export { benchCases, type CaseOptions, DEFAULT_LENGTHS } from "./cases.js";
export {
  type MeasureOptions,
  type MeasurePhase,
  type MeasureProgress,
  measurePack,
} from "./measure.js";
export type * from "./types.js";
export { BENCH_VERSION } from "./types.js";
