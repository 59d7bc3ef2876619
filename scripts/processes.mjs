// Processes that this one has started, and those that they have.

import { readdirSync, readFileSync } from "node:fs";

/** Of /proc/PID/stat, where Linux counts processor time. */
const TICK_MS = 10;

/** Milliseconds of processor time that this process's descendants have had so far; NaN where there is no /proc. */
export function processorMs() {
  /** @type {Map<number, { parent: number, ms: number }>} */
  const found = new Map();
  try {
    for (const name of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      try {
        // The command, in brackets, may hold spaces.
        const fields = readFileSync(`/proc/${name}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
        const ms = (Number(fields[11]) + Number(fields[12])) * TICK_MS;
        found.set(Number(name), { parent: Number(fields[1]), ms });
      } catch {
        // It has ended meanwhile.
      }
    }
  } catch {
    return Number.NaN;
  }
  const descends = (/** @type {number} */ pid) => {
    for (let at = found.get(pid); at; at = found.get(at.parent)) {
      if (at.parent === process.pid) return true;
    }
    return false;
  };
  let sum = 0;
  for (const [pid, { ms }] of found) if (descends(pid)) sum += ms;
  return sum;
}
