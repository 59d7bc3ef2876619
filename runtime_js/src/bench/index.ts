/** webbuild/bench: measures a pack on this device. A page that does not import it loads none of it. */
export { type Channel, runAgent } from "./agent.js";
export { Bench } from "./bench.js";
export type * from "./types.js";
export { BENCH_VERSION } from "./types.js";
