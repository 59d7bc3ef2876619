// A prompt that was computed once is kept across visits.

import type { Page } from "@playwright/test";
import { expect, PACK, test } from "../harness/fixtures.js";

const NAME = "arithmetic";

interface Visit {
  /** What `restore` gave, or the name of its error. */
  restored: { tokens: number } | string | null;
  saved: { tokens: number; bytes: number } | null;
  text: string;
  promptTokens: number;
  cachedTokens: number;
}

/** Loads the pack, restores what is saved, asks, and saves where nothing is. */
async function visit(page: Page): Promise<Visit> {
  return page.evaluate(
    async ([pack, name]) => {
      const messages = [{ role: "user" as const, content: "What is 17 + 25? ".repeat(8) }];
      const engine = await webbuild.Engine.load(pack);
      const restored = await engine.kv
        .restore(name)
        .catch((error: unknown) =>
          error instanceof webbuild.InvalidKvFile ? error.name : Promise.reject(error),
        );
      const { choices, usage } = await engine.chat.completions.create({
        messages,
        temperature: 0,
        max_tokens: 12,
      });
      const saved = restored === null ? await engine.kv.save(name, messages) : null;
      await engine.unload();
      return {
        restored,
        saved,
        text: choices[0]?.message.content ?? "",
        promptTokens: usage?.prompt_tokens ?? 0,
        cachedTokens: usage?.prompt_tokens_details?.cached_tokens ?? 0,
      };
    },
    [PACK, NAME] as const,
  );
}

async function reload(page: Page): Promise<void> {
  await page.reload();
  await page.waitForFunction(() => "webbuild" in globalThis);
}

/** Changes one byte in the middle of the only saved file. */
async function damage(page: Page): Promise<void> {
  await page.evaluate(async () => {
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle("webbuild");
    const names: string[] = [];
    for await (const name of (folder as unknown as { keys(): AsyncIterable<string> }).keys()) {
      if (name.startsWith("kv-") && !name.endsWith(".ok")) names.push(name);
    }
    const handle = await folder.getFileHandle(names[0] as string);
    const bytes = new Uint8Array(await (await handle.getFile()).arrayBuffer());
    const at = bytes.length >> 1;
    bytes[at] = (bytes[at] as number) ^ 1;
    const file = await handle.createWritable();
    await file.write(bytes);
    await file.close();
  });
}

test("a saved prompt is there after a reload, with the same answer; a damaged one is refused and computed", async ({
  page,
}) => {
  const first = await visit(page);
  expect(first.restored).toBeNull();
  expect(first.cachedTokens).toBe(0);
  expect(first.saved?.tokens).toBe(first.promptTokens);

  await reload(page);
  const second = await visit(page);
  expect(second.restored).toMatchObject({ name: NAME, tokens: first.promptTokens });
  expect(second.cachedTokens).toBe(first.promptTokens - 1);
  expect(second.text).toBe(first.text);

  await damage(page);
  await reload(page);
  const third = await visit(page);
  expect(third.restored).toBe("InvalidKvFile");
  expect(third.cachedTokens).toBe(0);
  expect(third.text).toBe(first.text);
});
