import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type LoadProgress, ProgressReporter } from "./progress.js";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

function setUp() {
  const events: LoadProgress[] = [];
  const reporter = new ProgressReporter((p) => events.push(p));
  reporter.totalBytes = 1000;
  const source = { fileBytes: 0, networkBytes: 0, cacheBytes: 0 };
  reporter.sources.push(source, { fileBytes: 0, networkBytes: 0, cacheBytes: 0 });
  const receive = (bytes: number, from: "networkBytes" | "cacheBytes" = "networkBytes") => {
    source.fileBytes += bytes;
    source[from] += bytes;
    reporter.bytes();
  };
  return { events, reporter, receive };
}

test("rate and remaining time follow the bytes", () => {
  const { events, receive } = setUp();
  receive(100);
  vi.advanceTimersByTime(500);
  receive(200);
  expect(events[0]).toMatchObject({ loadedBytes: 100, bytesPerSecond: 0, etaSeconds: null });
  expect(events[1]).toMatchObject({ loadedBytes: 300, bytesPerSecond: 400, etaSeconds: 700 / 400 });
});

test("many pieces make few events, and the last piece before a pause is told", () => {
  const { events, receive } = setUp();
  for (let i = 0; i < 50; i++) receive(10);
  expect(events).toHaveLength(1);
  vi.advanceTimersByTime(1000);
  expect(events).toHaveLength(2);
  expect(events[1]?.loadedBytes).toBe(500);
});

test("from the cache it is an upload, once the network takes part a fetch", () => {
  const { events, reporter, receive } = setUp();
  receive(10, "cacheBytes");
  vi.advanceTimersByTime(200);
  receive(10);
  reporter.enter("compile");
  expect(events.map((e) => e.phase)).toEqual(["upload", "fetch", "compile"]);
  expect(events.at(-1)).toMatchObject({ bytesPerSecond: 0, etaSeconds: 0 });
});

test("nothing is reported after the end", () => {
  const { events, reporter, receive } = setUp();
  receive(10);
  receive(10);
  reporter.stop();
  vi.advanceTimersByTime(1000);
  expect(events).toHaveLength(1);
});
