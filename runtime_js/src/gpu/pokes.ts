/**
 * Submits without commands, which have a browser look for finished work. Chromium's GPU process looks whenever commands come,
 * else every 2 ms: a result that nothing is submitted behind may lie there as long as a small model's step takes.
 */

/** Timers can't be closer, and browsers slow down those that go on for long by themselves. */
const EVERY_MS = 1;

/** Pokes until `result` is here. */
export function poke(queue: GPUQueue, result: Promise<unknown>): void {
  const again = () => {
    queue.submit([]);
    timer = setTimeout(again, EVERY_MS);
  };
  let timer = setTimeout(again, EVERY_MS);
  const stop = () => clearTimeout(timer);
  result.then(stop, stop);
}
