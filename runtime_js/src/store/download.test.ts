import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { download, type Fetch } from "./download.js";

const URL = "https://packs.test/w.bin";
const data = Uint8Array.of(1, 2, 3, 4, 5, 6);

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** What is read in two minutes, or what it rejects with. @param fetch answers the requests */
async function read(fetch: Fetch): Promise<number[] | Error> {
  const bytes: number[] = [];
  const options = { signal: new AbortController().signal, from: 0, nbytes: 6 };
  const reading = (async () => {
    for await (const piece of download(URL, { ...options, fetch, cache: "default" }))
      bytes.push(...piece);
    return bytes;
  })().catch((error: Error) => error);
  await vi.advanceTimersByTimeAsync(240_000);
  return Promise.race([reading, Promise.resolve(new Error("it hangs"))]);
}

test("a connection on which nothing comes any more is given up, and the download goes on", async () => {
  const ranges: unknown[] = [];
  let cancelled = false;
  const got = await read(async (_, init) => {
    const { range } = (init as { headers: Record<string, string> }).headers;
    ranges.push(range);
    if (range) return new Response(data.slice(2), { status: 206 });
    const begin = new ReadableStream({
      start: (controller) => controller.enqueue(data.slice(0, 2)),
      cancel: () => {
        cancelled = true;
      },
    });
    return new Response(begin);
  });
  expect(got).toEqual([...data]);
  expect([ranges, cancelled]).toEqual([[undefined, "bytes=2-"], true]);
});

test("a server that takes requests and never answers is a NetworkError after a few tries", async () => {
  const signals: AbortSignal[] = [];
  const got = await read((_, init) => {
    signals.push(init?.signal as AbortSignal);
    return new Promise(() => {});
  });
  expect(got).toMatchObject({ name: "NetworkError", message: `${URL}: no byte came in 60 s` });
  expect(signals.map(({ aborted }) => aborted)).toEqual([true, true, true]);
});
