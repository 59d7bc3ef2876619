/** Entry of bench_worker.js. */
import { browserHost } from "../worker/hosts.js";
import type { Port } from "../worker/protocol.js";
import { serveBench } from "./methods.js";

serveBench(globalThis as unknown as Port, browserHost());
