// Several engines: two workers of a page behind a router, two tabs, and both ends of a relay.

import type { Page } from "@playwright/test";
import { serve } from "../../scripts/serve.mjs";
import { expect, PACK, test } from "../harness/fixtures.js";
import { siteFolder } from "../harness/site.js";

declare global {
  var remote: import("webbuild").RemoteEngine;
}

const NOTHING_HELD = { held: 0, running: 0, waiting: 0 };

/** What an engine holds. */
const held = (page: Page) =>
  page.evaluate(async () => {
    const { pages, running, waiting } = await engine.stats();
    return { held: pages.running, running, waiting };
  });

test("two workers: every strategy gives the answers of one engine, aborts leave nothing", async ({
  page,
}) => {
  test.setTimeout(600_000);
  const seen = await page.evaluate(async (pack) => {
    // Beside the package, so that TypeScript need not find it.
    const name = "./webbuild/router.js";
    const { Router, ...strategies } = (await import(
      new URL(name, location.href).href
    )) as typeof import("webbuild/router");
    const load = () => webbuild.Engine.load(pack, { contextLength: 1024 });
    const engines = [await load(), await load()] as const;
    const [first, second] = engines;
    const question = (i: number) => [
      { role: "user" as const, content: `${i} is one, ${"and so on ".repeat(i % 3 ? 6 : 60)}?` },
    ];
    type Completions = Pick<typeof first.chat.completions, "create">;
    const ask = ({
      create,
    }: {
      create: InstanceType<typeof Router>["chat"]["completions"]["create"];
    }) =>
      Promise.all(
        [1, 2, 3, 4, 5, 6].map(async (i) => {
          const params = { messages: question(i), temperature: 0, max_tokens: 6 };
          return (await create(params)).choices[0]?.message.content;
        }),
      );
    const alone: Completions = first.chat.completions;
    const expected = await ask({ create: alone.create.bind(alone) });
    const { roundRobin, prefillDecode, balancedSplit, kvMigration, cacheAware } = strategies;
    const five = {
      roundRobin: roundRobin(),
      prefillDecode: prefillDecode({ long: 64 }),
      balancedSplit: balancedSplit({ long: 64 }),
      kvMigration: kvMigration(),
      cacheAware: cacheAware(),
    };
    const same: Record<string, boolean> = {};
    for (const [strategy, make] of Object.entries(five)) {
      const answers = await ask(new Router(engines, make).chat.completions);
      same[strategy] = JSON.stringify(answers) === JSON.stringify(expected);
    }
    // A prefix of k tokens that was sent leaves n - k to compute.
    const text = "what nobody has asked before ".repeat(40);
    const { kvAddr, tokens } = await second.prepRecv(text, { end: 77 });
    await first.remoteSend(text, { kvAddr, to: second });
    const { usage } = await second.startGenerate(text, { begin: 77, max_tokens: 1 });
    const left = tokens - (usage.prompt_tokens_details?.cached_tokens ?? 0);
    // At any moment.
    const ends = new Set<string>();
    for (let i = 0; i < 8; i++) {
      const controller = new AbortController();
      const { signal } = controller;
      const router = new Router(engines, prefillDecode({ long: 64 }));
      const messages = [{ role: "user" as const, content: `${i} ${"abort ".repeat(300)}` }];
      setTimeout(() => controller.abort(), 40 * i);
      const asked = router.chat.completions.create({ messages, max_tokens: 4 }, { signal });
      ends.add(
        await asked.then(
          () => "answer",
          (error: Error) => error.name,
        ),
      );
    }
    const again = await ask({ create: alone.create.bind(alone) });
    const rest = [];
    for (const engine of engines) {
      // What was reserved and not sent to is given back when its time is over.
      const until = performance.now() + 90_000;
      while ((await engine.stats()).pages.running > 0 && performance.now() < until) {
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
      const { pages, running, waiting } = await engine.stats();
      rest.push({ held: pages.running, running, waiting });
      await engine.unload();
    }
    ends.delete("answer");
    return { same, left, tokens, ends: [...ends], again: again.join() === expected.join(), rest };
  }, PACK);
  expect(Object.entries(seen.same).filter(([, same]) => !same)).toEqual([]);
  expect(seen.left).toBe(seen.tokens - 77);
  expect(seen.ends).toEqual(["AbortError"]);
  expect(seen.again).toBe(true);
  expect(seen.rest).toEqual([NOTHING_HELD, NOTHING_HELD]);
});

test("two tabs and both ends of a relay: keys and values cross, a tab that closes is noticed", async ({
  browserProcess,
}) => {
  test.setTimeout(600_000);
  const server = await serve(siteFolder, { relay: true });
  const pages = [await browserProcess.newPage(), await browserProcess.newPage()] as const;
  const [here, there] = pages;
  try {
    for (const page of pages) {
      await page.goto(`${server.url}test.html`);
      await page.waitForFunction(() => "webbuild" in globalThis);
      await page.evaluate(async (pack) => {
        globalThis.engine = await webbuild.Engine.load(pack, { contextLength: 1024 });
      }, PACK);
    }
    const id = await there.evaluate(async () => {
      await engine.peers.share();
      return engine.id;
    });

    /** Sends most of a text to `remote`, has it answer, and answers here. */
    const exchange = (text: string) =>
      here.evaluate(async (text) => {
        const { kvAddr, tokens } = await remote.prepRecv(text);
        await engine.remoteSend(text, { kvAddr, to: remote });
        const params = { temperature: 0, max_tokens: 6 };
        const far = await remote.startGenerate(text, { ...params, begin: kvAddr.end });
        const near = await engine.startGenerate(text, params);
        return {
          left: tokens - (far.usage.prompt_tokens_details?.cached_tokens ?? 0),
          same: far.choices[0]?.message.content === near.choices[0]?.message.content,
        };
      }, text);

    const found = await here.evaluate(async () => {
      const found = await engine.peers.find();
      for (const shared of found) globalThis.remote = await engine.peers.join(shared);
      return found.map(({ id }) => id);
    });
    expect(found).toEqual([id]);
    expect(await exchange("from tab to tab ".repeat(60))).toEqual({ left: 1, same: true });

    await here.evaluate(() => remote.leave());
    const room = `${server.url.replace(/^http/, "ws")}relay/${crypto.randomUUID()}`;
    await Promise.all(
      pages.map((page) =>
        page.evaluate(async (room) => {
          globalThis.remote = await engine.peers.join(room);
        }, room),
      ),
    );
    expect(await exchange("through a relay ".repeat(60))).toEqual({ left: 1, same: true });
    const stream = await there.evaluate(async () => {
      const messages = [{ role: "user" as const, content: "Hi" }];
      const params = { messages, temperature: 0, max_tokens: 8, stream: true as const };
      let said = "";
      for await (const { choices } of await remote.chat.completions.create(params)) {
        said += choices[0]?.delta.content ?? "";
      }
      return said;
    });
    expect(stream).not.toBe("");
    expect(await held(here)).toEqual(NOTHING_HELD);
    expect(await held(there)).toEqual(NOTHING_HELD);

    // What this tab has reserved for the other one is given back when that closes.
    const ended = here.evaluate(async () => {
      const { kvAddr } = await engine.prepRecv("is this ever sent? ".repeat(60), {
        timeoutMs: 10_000,
      });
      const sending = remote.remoteSend("is this ever sent? ".repeat(60), { kvAddr, to: engine });
      return sending.then(
        () => "sent",
        (error: Error) => error.name,
      );
    });
    await there.close();
    // It may be gone before, while, or after it is asked.
    expect(["PeerUnknown", "PeerLost", "sent"]).toContain(await ended);
    const asked = await here.evaluate(async () => {
      const { choices } = await engine.startGenerate("is this ever sent? ".repeat(60), {
        max_tokens: 2,
      });
      const gone = await remote.stats().catch((error: Error) => error.name);
      return { answered: choices.length, gone };
    });
    expect(asked).toEqual({ answered: 1, gone: "PeerUnknown" });
    await expect.poll(() => held(here)).toEqual(NOTHING_HELD);
  } finally {
    for (const page of pages) await page.close();
    await server.close();
  }
});
