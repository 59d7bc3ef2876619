// Where a pack's bytes come from: the network once, this device afterwards.

import type { Page } from "@playwright/test";
import { expect, PACK, test } from "../harness/fixtures.js";
import type { ProxyServer } from "../harness/proxy_server.js";

interface Outcome {
  error: { name: string; message: string } | null;
  networkBytes: number;
  answer: string;
}

/** Loads the pack and asks it something; never throws. */
async function loadAndAsk(page: Page): Promise<Outcome> {
  return page.evaluate(async (pack) => {
    let networkBytes = 0;
    try {
      const engine = await webbuild.Engine.load(pack, {
        onProgress: (progress) => {
          networkBytes = progress.networkBytes;
        },
      });
      const { choices } = await engine.chat.completions.create({
        messages: [{ role: "user", content: "What is 17 + 25?" }],
        temperature: 0,
        max_tokens: 16,
      });
      const answer = choices[0]?.message.content ?? "";
      await engine.unload();
      return { error: null, networkBytes, answer };
    } catch (caught) {
      const { name, message } = caught as Error;
      return { error: { name, message }, networkBytes, answer: "" };
    }
  }, PACK);
}

/** The largest file of the pack, a weight shard, and the bytes of the files that are read before it. */
async function shardOf(
  server: ProxyServer,
): Promise<{ path: string; size: number; before: number }> {
  const pack = await (await fetch(`${server.url}${PACK}pack.json`)).json();
  server.reset();
  const shards = pack.files.filter((file: { role: string }) => file.role === "weights");
  const { path, nbytes } = shards.sort(
    (a: { nbytes: number }, b: { nbytes: number }) => b.nbytes - a.nbytes,
  )[0];
  const program = pack.files.filter(({ role }: { role: string }) =>
    ["program", "kernels", "tensor_cache"].includes(role),
  );
  const before = program.reduce((sum: number, file: { nbytes: number }) => sum + file.nbytes, 0);
  return { path: `/${PACK}${path}`, size: nbytes, before };
}

test("a pack's query and headers go with each request, from every kind of worker", async ({
  page,
  server,
}) => {
  for (const worker of [true, "shared", false] as const) {
    server.reset();
    await page.evaluate(
      async ([pack, worker]) => {
        const headers = { Authorization: "Bearer me" };
        const options = { worker, headers, cache: false };
        await (await webbuild.Engine.load(`${pack}?sig=1`, options)).unload();
      },
      [PACK, worker] as const,
    );
    const asked = server.exchanges.filter(({ path }) => path.startsWith(`/${PACK}`));
    expect(asked.length).toBeGreaterThan(5);
    for (const one of asked) {
      expect(one).toMatchObject({ query: "?sig=1", authorization: "Bearer me" });
      expect(one.status).toBeLessThan(400);
    }
  }
});

test("a second load reads nothing from the network", async ({ page, server }) => {
  const { path, size } = await shardOf(server);
  const first = await loadAndAsk(page);
  expect(first.error).toBeNull();
  expect(first.networkBytes).toBeGreaterThanOrEqual(size);
  expect(server.bytesSent(path)).toBe(size);

  await page.reload();
  await page.waitForFunction(() => "webbuild" in globalThis);
  server.reset();
  const second = await loadAndAsk(page);
  expect(second).toEqual({ error: null, networkBytes: 0, answer: first.answer });
  expect(server.exchanges.filter(({ path }) => path.startsWith(`/${PACK}`))).toEqual([]);
});

test("a download that breaks off is resumed where it stopped", async ({ page, server }) => {
  const { path, size } = await shardOf(server);
  const half = Math.floor(size / 2);
  server.breakPath(path, { cutAfter: half, pauseMs: 20, times: 1 });
  const loaded = await loadAndAsk(page);
  expect(loaded.error).toBeNull();
  const requests = server.exchanges.filter((exchange) => exchange.path === path);
  expect(requests.length).toBeGreaterThan(1);
  expect(requests.slice(1).every(({ status, range }) => status === 206 && !!range)).toBe(true);
  // Nothing that had arrived was fetched twice, but for what was in flight.
  const sent = requests.reduce((sum, { bytes }) => sum + bytes, 0);
  expect(sent).toBeLessThan(size + half);
});

test("an aborted load resumes", async ({ page, server }) => {
  const { path, size, before } = await shardOf(server);
  server.breakPath(path, { stallAfter: Math.floor(size / 2), pauseMs: 20, times: 1 });
  const name = await page.evaluate(
    async ({ pack, enough }) => {
      const controller = new AbortController();
      const loading = webbuild.Engine.load(pack, {
        signal: controller.signal,
        onProgress: ({ networkBytes }) => networkBytes > enough && controller.abort(),
      });
      return loading.then(
        () => "loaded",
        (error: Error) => error.name,
      );
    },
    { pack: PACK, enough: before + size / 4 },
  );
  expect(name).toBe("AbortError");
  server.repair();
  server.reset();
  const second = await loadAndAsk(page);
  expect(second.error).toBeNull();
  const again = server.exchanges.filter((exchange) => exchange.path === path);
  expect(again.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(size);
});

const flip = (body: Buffer) => {
  const copy = Buffer.from(body);
  const middle = Math.floor(copy.length / 2);
  copy[middle] = (copy[middle] ?? 0) ^ 1;
  return copy;
};

test.describe("a broken pack is refused by name", () => {
  // The browser logs each failed request by itself.
  test.use({ allowedErrors: /Failed to load resource/ });

  test("one flipped bit in a shard", async ({ page, server }) => {
    const { path } = await shardOf(server);
    server.breakPath(path, { rewrite: flip });
    expect((await loadAndAsk(page)).error?.name).toBe("HashMismatch");
    // The bad bytes are not kept.
    server.repair();
    expect((await loadAndAsk(page)).error).toBeNull();
  });

  test("a shard that is too short", async ({ page, server }) => {
    const { path } = await shardOf(server);
    server.breakPath(path, { rewrite: (body) => body.subarray(0, body.length - 100) });
    expect((await loadAndAsk(page)).error?.name).toMatch(/^(TruncatedFile|HashMismatch)$/);
  });

  test("a missing shard", async ({ page, server }) => {
    const { path } = await shardOf(server);
    server.breakPath(path, { status: 404 });
    const { error } = await loadAndAsk(page);
    expect(error?.name).toBe("MissingFile");
    expect(error?.message).toContain(path.split("/").at(-1));
  });

  test("no pack at all", async ({ page, server }) => {
    server.breakPath(`/${PACK}pack.json`, { status: 404 });
    expect((await loadAndAsk(page)).error?.name).toBe("MissingFile");
  });

  test("a format version of the future", async ({ page, server }) => {
    server.breakPath(`/${PACK}pack.json`, {
      rewrite: (body) => {
        const pack = JSON.parse(body.toString());
        return Buffer.from(JSON.stringify({ ...pack, format_version: 999 }));
      },
    });
    expect((await loadAndAsk(page)).error?.name).toBe("UnsupportedFormatVersion");
  });

  test("a pack.json that is none", async ({ page, server }) => {
    server.breakPath(`/${PACK}pack.json`, { rewrite: () => Buffer.from("<!doctype html>") });
    expect((await loadAndAsk(page)).error?.name).toBe("InvalidPack");
  });
});
