import { describe, expect, test } from "vitest";
import type { TemplateMessage } from "../text/chat_template.js";
import { turnsOf, turnsToDrop } from "./turns.js";

const message = (role: TemplateMessage["role"], content: string) => ({ role, content });

describe("turns", () => {
  test("begin with a user's message and hold all that follows; system messages before them are no turn", () => {
    const system = message("system", "s");
    const first = [message("user", "1"), message("assistant", "2"), message("tool", "3")];
    const second = [message("user", "4"), message("system", "5"), message("assistant", "6")];
    expect(turnsOf([system, ...first, ...second])).toEqual({
      head: [system],
      turns: [first, second],
    });
    const greeting = message("assistant", "hello");
    expect(turnsOf([greeting, ...first])).toEqual({ head: [], turns: [[greeting], first] });
    expect(turnsOf([system])).toEqual({ head: [system], turns: [] });
  });

  /** Of a conversation with turns of these lengths. */
  const dropped = (turns: number[], limit: number, stride: number) =>
    turnsToDrop(
      turns.length,
      (k) => 10 + turns.slice(k).reduce((sum, n) => sum + n, 0), // a head of 10
      { limit, stride },
    );

  test("are dropped as few as make room, in strides, but never the last", () => {
    expect(dropped([20, 20, 20], 70, 1)).toBe(0);
    expect(dropped([20, 20, 20], 69, 1)).toBe(1);
    expect(dropped([20, 20, 20], 50, 1)).toBe(1);
    expect(dropped([20, 20, 20], 49, 1)).toBe(2);
    expect(dropped([20, 20, 20], 5, 1)).toBe(2);
    expect(dropped([20, 20, 20], 69, 30)).toBe(2);
    expect(dropped([100], 50, 1)).toBe(0);
    expect(dropped([], 5, 1)).toBe(0);
  });

  test("a conversation that grows begins alike until the next stride", () => {
    const turns: number[] = [];
    const beginnings = new Map<number, number>();
    for (let i = 0; i < 200; i++) {
      turns.push(7 + (i % 5));
      const k = dropped(turns, 300, 100);
      expect(10 + turns.slice(k).reduce((sum, n) => sum + n, 0)).toBeLessThanOrEqual(300);
      beginnings.set(k, (beginnings.get(k) ?? 0) + 1);
    }
    // About 1,800 tokens, 300 of which fit: a new beginning for each 100 of the others.
    expect(beginnings.size).toBeLessThanOrEqual(17);
    expect([...beginnings.keys()]).toEqual([...beginnings.keys()].sort((a, b) => a - b));
  });
});
