import { expect, test } from "vitest";
import { DeviceLostError, HashMismatch, NoWebGPU } from "../errors.js";
import { Losses } from "./losses.js";

const lost = new DeviceLostError("gone");

test("so many within the time are borne, the next is not", () => {
  const time = { now: 0 };
  const losses = new Losses({ losses: 2, withinMs: 1000 }, () => time.now);
  expect(losses.note(lost)).toBeUndefined();
  expect(losses.note(new DeviceLostError("gone"))).toBeUndefined();
  time.now = 999;
  expect(losses.note(lost)).toMatchObject({
    name: "DeviceLostError",
    data: { tries: 2, problem: "gone" },
    message: expect.stringContaining("2 times in 1 s"),
  });
  expect(losses.count).toBe(3);
});

test("an adapter is waited for so long, which counts as no attempt", () => {
  const time = { now: 0 };
  const losses = new Losses({ losses: 2, adapterMs: 500 }, () => time.now);
  const none = new NoWebGPU("no adapter");
  expect(losses.note(lost)).toBeUndefined();
  for (; time.now < 500; time.now += 100) expect(losses.note(none)).toBeUndefined();
  // It was there again: the next time it is waited for as long.
  expect(losses.note(lost)).toBeUndefined();
  expect(losses.note(none)).toBeUndefined();
  time.now += 500;
  expect(losses.note(none)).toMatchObject({
    name: "DeviceLostError",
    data: { tries: 2, problem: "no adapter" },
  });
});

test("those of long ago do not count", () => {
  const time = { now: 0 };
  const losses = new Losses({ losses: 1, withinMs: 1000 }, () => time.now);
  for (; time.now < 10_000; time.now += 1000) expect(losses.note(lost)).toBeUndefined();
  time.now -= 1;
  expect(losses.note(lost)).toBeDefined();
});

test("none are borne when told so, nor what no new device mends", () => {
  expect(new Losses({ losses: 0 }).note(lost)).toMatchObject({ data: { tries: 0 } });
  const losses = new Losses();
  expect(losses.note(lost)).toBeUndefined();
  const broken = new HashMismatch("not the file");
  expect(losses.note(broken)).toMatchObject({ name: "DeviceLostError", cause: broken });
});
