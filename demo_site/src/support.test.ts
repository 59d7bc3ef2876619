import { expect, test } from "vitest";
import { ADVICE, adviceFor, browserOf } from "./support.js";

const AGENTS = {
  chrome:
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
  android:
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36",
  safari:
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
  firefox: "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:143.0) Gecko/20100101 Firefox/143.0",
};

test.each(Object.entries(AGENTS))("recognises %s", (browser, agent) => {
  expect(browserOf(agent)).toBe(browser);
});

test("every browser on iOS is Safari underneath", () => {
  expect(browserOf("Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) CriOS/140.0")).toBe(
    "safari",
  );
});

test("an edge case falls back to Chromium on a computer", () => {
  expect(browserOf("")).toBe("chrome");
});

test("advice lists this browser first and every browser once", () => {
  const advice = adviceFor(AGENTS.firefox);
  expect(advice[0]).toBe(ADVICE.firefox);
  expect(new Set(advice)).toEqual(new Set(Object.values(ADVICE)));
});
