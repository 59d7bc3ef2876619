/** Entry of worker.js. */
import { browserHost } from "./hosts.js";
import type { Port } from "./protocol.js";
import { serve } from "./server.js";

serve(globalThis as unknown as Port, browserHost());
