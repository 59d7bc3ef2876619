/** Loading a draft beside its target, on Dawn. */
import { afterEach, describe, expect, test } from "vitest";
import { DraftMismatch, InvalidRequestError } from "../errors.js";
import { MemoryStore } from "../store/memory.js";
import { BASE, dawn, testHost, watched } from "../testing/host.js";
import { replaceJson, tinyPack } from "../testing/tiny_pack.js";
import {
  DRAFT,
  expectClean,
  expectTwin,
  loadTiny,
  model,
  servingPack,
  submit,
  use,
  withDraft,
} from "../testing/tiny_serving.js";
import { canRun } from "./can_run.js";
import { load } from "./load.js";
import type { Speculates } from "./request.js";

const never = new AbortController().signal;
const DRAFTED: Speculates = { tokens: 3, from: "draft" };

describe("its tokenizer", () => {
  test("another one is refused by name, before a weight is asked for", async () => {
    const draft = tinyPack();
    replaceJson(draft, "tokenizer.json", ({ model: { vocab } }) => {
      [vocab.a, vocab.b] = [vocab.b, vocab.a];
    });
    const host = testHost(withDraft(tinyPack(), draft), await dawn());
    const asked: string[] = [];
    const fetch: typeof host.fetch = (url, init) => {
      asked.push(url);
      return host.fetch(url, init);
    };
    const options = { url: BASE, draft: DRAFT };
    const refused = load({ ...host, fetch }, options, () => {}, never);
    await expect(refused).rejects.toThrow(DraftMismatch);
    await expect(refused).rejects.toThrow('the token "a" is');
    await expect(canRun({ ...host, fetch }, options, never)).rejects.toThrow(DraftMismatch);
    expect(asked.some((url) => url.endsWith(".json"))).toBe(true);
    expect(asked.some((url) => url.endsWith(".bin"))).toBe(false);
  });

  test("the same one, written otherwise, is taken", async () => {
    const draft = tinyPack();
    replaceJson(draft, "tokenizer.json", (tokenizer) => {
      tokenizer.version = "1.1";
    });
    const host = testHost(withDraft(tinyPack(), draft), await dawn());
    const loaded = await load(host, { url: BASE, draft: DRAFT }, () => {}, never);
    expect(loaded.info().draft?.model).toBe("tiny");
    loaded.unload();
  });
});

describe("a loaded draft", () => {
  afterEach(() => model.unload());

  test("is told of, with its memory, and canRun says the same before", async () => {
    const host = testHost(withDraft(tinyPack(), tinyPack()), await dawn());
    const alone = await canRun(host, { url: BASE }, never);
    const both = await canRun(host, { url: BASE, draft: DRAFT }, never);
    use(await load(host, { url: BASE, draft: DRAFT }, () => {}, never));
    const { bytes, draft } = model.info();
    expect(both.bytes).toEqual(bytes);
    expect(bytes.total).toBe(2 * (alone.bytes?.total as number));
    expect(draft).toEqual({
      model: "tiny",
      quantization: "q0f32",
      tier: "f32",
      bytes: alone.bytes,
    });
    expect(both.downloadBytes).toBe(2 * alone.downloadBytes);
    expect(both.ok).toBe(true);
  });

  test("none: requests that want one are refused", async () => {
    await loadTiny(2, 64);
    expect(model.info().draft).toBeNull();
    const asked = submit({ content: "a", maxTokens: 4, speculation: DRAFTED });
    await asked.done;
    expect(asked.settled).toBeInstanceOf(InvalidRequestError);
    expect((asked.settled as InvalidRequestError).param).toBe("webbuild.speculation.from");
  });

  test("of a shorter context and fewer sequences guesses as far as it reaches", async () => {
    const draft = servingPack(1, 24);
    await loadTiny(4, 256, draft);
    const all = ["a", "b", "c"].map((content) => {
      return submit({ content, maxTokens: 60, speculation: DRAFTED });
    });
    await Promise.all(all.map(({ done }) => done));
    for (const asked of all) expectTwin(asked);
    const { guessed, accepted } = model.stats().speculation.draft;
    expect(accepted).toBe(guessed);
    // One request, from its prompt to position 48.
    const { length } = model.prompts.render([{ role: "user", content: "a" }]).tokens;
    expect(guessed).toBeGreaterThan(0);
    expect(guessed).toBeLessThanOrEqual(48 - length);
    await expectClean(all);
  });

  test("is made again with a lost device; tokens stay the same", async () => {
    const { gpu, devices } = watched(await dawn());
    const pack = servingPack(4, 256);
    const host = testHost(withDraft(pack, pack), gpu, new MemoryStore());
    use(await load(host, { url: BASE, draft: DRAFT, maxBatch: 4 }, () => {}, never));
    let told = 0;
    const all = ["one", "two", "three"].map((content) => {
      return submit({ content, maxTokens: 50, speculation: DRAFTED }, () => {
        if (++told === 40) devices[0]?.destroy();
      });
    });
    await Promise.all(all.map(({ done }) => done));
    for (const asked of all) expectTwin(asked);
    expect(devices).toHaveLength(2);
    expect(model.deviceState()).toMatchObject({ state: "ready", losses: 1 });
    const { accepted } = model.stats().speculation.draft;
    const later = submit({ content: "later", maxTokens: 20, speculation: DRAFTED });
    await later.done;
    expectTwin(later);
    expect(model.stats().speculation.draft.accepted).toBeGreaterThan(accepted);
    await expectClean([...all, later]);
  });
});
