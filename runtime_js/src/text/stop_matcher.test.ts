import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { StopMatcher } from "./stop_matcher.js";

/** Character by character: the first moment at which the text ends with a stop string; of several, the longest. */
function naive(text: string, stops: string[]): { shown: string; stopped: boolean } {
  for (let end = 1; end <= text.length; end++) {
    const found = stops.filter((s) => text.slice(0, end).endsWith(s));
    if (found.length > 0) {
      return { shown: text.slice(0, end - Math.max(...found.map((s) => s.length))), stopped: true };
    }
  }
  return { shown: text, stopped: false };
}

const letters = (maxLength: number, minLength = 0) =>
  fc.array(fc.constantFrom("a", "b", "é"), { minLength, maxLength }).map((l) => l.join(""));

describe("StopMatcher", () => {
  test("equals the naive search, however the text is cut", () => {
    fc.assert(
      fc.property(
        fc.array(letters(4), { maxLength: 12 }),
        fc.array(letters(4, 1), { maxLength: 3 }),
        (pieces, stops) => {
          const matcher = new StopMatcher(stops);
          let shown = pieces.map((p) => matcher.push(p)).join("");
          const stopped = matcher.stopped;
          shown += matcher.flush();
          expect({ shown, stopped }).toEqual(naive(pieces.join(""), stops));
        },
      ),
      { numRuns: 3000 },
    );
  });

  test("holds back no more than a possible beginning of a stop string", () => {
    fc.assert(
      fc.property(
        fc.array(letters(3), { maxLength: 10 }),
        fc.array(letters(4, 1), { maxLength: 3 }),
        (pieces, stops) => {
          const matcher = new StopMatcher(stops);
          let text = "";
          let shown = "";
          for (const piece of pieces) {
            text += piece;
            shown += matcher.push(piece);
            if (matcher.stopped) return;
            const held = text.slice(shown.length);
            expect(held === "" || stops.some((s) => s !== held && s.startsWith(held))).toBe(true);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });

  test("is silent after a match", () => {
    const matcher = new StopMatcher(["\n"]);
    expect(matcher.push("a\nb")).toBe("a");
    expect(matcher.push("c")).toBe("");
    expect(matcher.flush()).toBe("");
  });
});
