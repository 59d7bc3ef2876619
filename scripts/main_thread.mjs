// What a page's main thread does, from Chromium's trace.

/**
 * Tasks of the page's main thread while `work` runs.
 *
 * @template T
 * @param {import("playwright-core").Page} page
 * @param {() => Promise<T>} work
 * @returns {Promise<{ result: T, tasks: { ms: number, cpuMs: number }[] }>} `ms` passed by the clock, of which the thread
 *   ran `cpuMs`: on a busy machine it waits for a processor
 */
export async function recordTasks(page, work) {
  const session = await page.context().newCDPSession(page);
  /** @type {any[]} */
  const events = [];
  session.on("Tracing.dataCollected", ({ value }) => {
    for (const event of value) events.push(event);
  });
  const complete = new Promise((resolve) => session.once("Tracing.tracingComplete", resolve));
  const includedCategories = ["disabled-by-default-devtools.timeline", "blink.user_timing"];
  await session.send("Tracing.start", {
    transferMode: "ReportEvents",
    traceConfig: { excludedCategories: ["*"], includedCategories },
  });
  // Many pages' threads are in a trace: this page's is the one that leaves a mark.
  const mark = `main thread ${Math.random()}`;
  await page.evaluate((name) => void performance.mark(name), mark);
  const result = await work();
  await session.send("Tracing.end");
  await complete;
  await session.detach();
  const { pid, tid } = events.find(({ name }) => name === mark) ?? {};
  const tasks = events
    .filter((event) => event.pid === pid && event.tid === tid && event.name === "RunTask")
    .map(({ dur = 0, tdur = 0 }) => ({ ms: dur / 1000, cpuMs: tdur / 1000 }));
  if (tasks.length === 0) throw new Error("Chromium's trace tells of no task of the main thread");
  return { result, tasks };
}
