import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { IdleMoments } from "./idle.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const LONG = 10_000;

/** Pieces a1, a2 before b1; `done` says which were done. */
function work(fails: (piece: string) => boolean = () => false) {
  const done: string[] = [];
  const kind = (pieces: string[]) => () => {
    const [piece] = pieces;
    if (piece === undefined) return undefined;
    return async () => {
      if (fails(piece)) throw new Error(piece);
      pieces.shift();
      done.push(piece);
      moments.begin();
    };
  };
  const moments: IdleMoments = new IdleMoments([kind(["a1", "a2"]), kind(["b1"])]);
  return { done, moments };
}

test("pieces follow each other, kind by kind, and a request puts them off", async () => {
  const { done, moments } = work();
  moments.begin();
  moments.end();
  await vi.advanceTimersByTimeAsync(LONG);
  expect(done).toEqual([]);
  moments.begin();
  await vi.advanceTimersByTimeAsync(LONG);
  expect(done).toEqual(["a1", "a2", "b1"]);
});

test("a kind of which a piece failed is left alone until it is forgiven", async () => {
  let broken = true;
  const { done, moments } = work((piece) => broken && piece === "a2");
  moments.begin();
  await vi.advanceTimersByTimeAsync(LONG);
  expect(done).toEqual(["a1"]);
  moments.begin();
  await vi.advanceTimersByTimeAsync(LONG);
  expect(done).toEqual(["a1", "b1"]);
  broken = false;
  moments.forgive();
  moments.begin();
  await vi.advanceTimersByTimeAsync(LONG);
  expect(done).toEqual(["a1", "b1", "a2"]);
});

test("nothing is done once it is closed", async () => {
  const { done, moments } = work();
  moments.begin();
  moments.close();
  moments.begin();
  await vi.advanceTimersByTimeAsync(LONG);
  expect(done).toEqual([]);
});
