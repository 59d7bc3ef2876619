import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { PageShare } from "./page_share.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test("after a step it is the page's time; whoever waits is woken once, at its end", () => {
  const wake = vi.fn();
  const page = new PageShare(wake, () => Date.now());
  page.arrived();
  expect([page.some, page.lasts]).toEqual([false, false]);
  page.set(8);
  wake.mockClear();
  expect([page.some, page.lasts]).toEqual([true, false]);
  page.arrived();
  expect([page.lasts, page.lasts]).toEqual([true, true]);
  vi.advanceTimersByTime(7);
  expect([page.lasts, wake.mock.calls.length]).toEqual([true, 0]);
  vi.advanceTimersByTime(1);
  expect([page.lasts, wake.mock.calls.length]).toEqual([false, 1]);
  vi.runAllTimers();
  expect(wake).toHaveBeenCalledTimes(1);
});

test("a share that is taken back ends at once", () => {
  const wake = vi.fn();
  const page = new PageShare(wake, () => Date.now());
  page.set(500);
  page.arrived();
  expect(page.lasts).toBe(true);
  wake.mockClear();
  page.set(0);
  expect([page.lasts, wake.mock.calls.length]).toEqual([false, 1]);
  expect(vi.getTimerCount()).toBe(0);
});

test("an engine that runs in a page which nobody sees leaves it nothing", () => {
  const page = new PageShare(
    () => {},
    () => Date.now(),
  );
  page.set(8);
  page.arrived();
  expect(page.lasts).toBe(true);
  vi.stubGlobal("document", { hidden: true });
  expect(page.lasts).toBe(false);
  vi.unstubAllGlobals();
});

test.each([-1, 1001, Number.NaN, "8", null])("%s is no time", (ms) => {
  const page = new PageShare(
    () => {},
    () => 0,
  );
  expect(() => page.set(ms as number)).toThrow(
    expect.objectContaining({ name: "InvalidRequestError", param: "yieldMs" }),
  );
});
