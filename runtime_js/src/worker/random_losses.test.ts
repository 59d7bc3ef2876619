/** Devices lost at seeded moments of every phase, on Dawn, of an engine that is linked with another: nothing that was asked is wrong, or hangs. */
import { writeFile } from "node:fs/promises";
import { isDeepStrictEqual } from "node:util";
import { afterEach, expect, test } from "vitest";
import type { LanguageModel } from "../engine/language_model.js";
import { load } from "../engine/load.js";
import type { GenerateRequest } from "../engine/request.js";
import { DeviceLostError, KvRefused } from "../errors.js";
import { MemoryStore } from "../store/memory.js";
import { fragile } from "../testing/fragile_gpu.js";
import { BASE, dawn, testHost } from "../testing/host.js";
import { tinyPack } from "../testing/tiny_pack.js";
import { answer, ask, intime, Late, random, randomAsk } from "../testing/tiny_requests.js";
import { Serving } from "./serving.js";

const LOSSES = 50;
/** Where a device is lost; each in turn. `send` and `receive`: keys and values, to and from the other engine. */
type Phase = "load" | "prefill" | "decode" | "rebuild" | "save" | "restore" | "send" | "receive";
const PHASES: readonly Phase[] = [
  "load",
  "prefill",
  "decode",
  "rebuild",
  "save",
  "restore",
  "send",
  "receive",
];

/** Of the requests under way when a device was lost in a phase. */
interface Row {
  losses: number;
  /** With the answer of an undisturbed engine; or saved, restored, sent. */
  completed: number;
  wrong: number;
  /** With DeviceLostError, after bounded attempts. */
  named: number;
  /** Transfers that were given up by name: they only save time, whoever asks next is answered all the same. */
  abandoned: number;
  hung: number;
}

const never = new AbortController().signal;
const models: LanguageModel[] = [];
afterEach(() => {
  for (const model of models.splice(0)) model.unload();
});

async function open(gpu: GPU, store = new MemoryStore()): Promise<LanguageModel> {
  const recovery = { losses: 1e6, withinMs: 1e9 };
  const options = { url: BASE, recovery };
  const model = await load(testHost(tinyPack(256), gpu, store), options, () => {}, never);
  models.push(model);
  return model;
}

/** What the engine does just now: whoever is furthest from its end decides. */
class Activity {
  model: LanguageModel | undefined;
  readonly #now = new Map<Phase, number>();

  get phase(): Phase {
    if (!this.model) return "load";
    if (this.model.deviceState().state === "recovering") return "rebuild";
    const under = (phase: Phase) => (this.#now.get(phase) ?? 0) > 0;
    return (["save", "restore", "send", "receive", "prefill"] as const).find(under) ?? "decode";
  }

  begin(phase: Phase): () => void {
    this.#now.set(phase, (this.#now.get(phase) ?? 0) + 1);
    let over = false;
    return () => {
      if (!over) this.#now.set(phase, (this.#now.get(phase) as number) - 1);
      over = true;
    };
  }
}

/** Who is under way, and in which phases devices were lost meanwhile. */
class Witnesses {
  readonly rows = new Map<Phase, Row>();
  readonly #live = new Set<Set<Phase>>();

  lost(phase: Phase): void {
    this.#row(phase).losses++;
    for (const seen of this.#live) seen.add(phase);
  }

  /** @param right whether what it gives is right */
  async ends<T>(what: string, work: Promise<T>, right: (given: T) => boolean): Promise<void> {
    const seen = new Set<Phase>();
    this.#live.add(seen);
    const outcome = await intime(work, what).then(
      (given) => (right(given) ? ("completed" as const) : ("wrong" as const)),
      (error: Error) => {
        if (error instanceof Late) return "hung" as const;
        const transfer = what === "a transfer";
        if (transfer && error instanceof KvRefused) return "abandoned" as const;
        if (error instanceof DeviceLostError) return transfer ? "abandoned" : "named";
        throw error;
      },
    );
    this.#live.delete(seen);
    for (const phase of seen) this.#row(phase)[outcome]++;
  }

  #row(phase: Phase): Row {
    const none = { losses: 0, completed: 0, wrong: 0, named: 0, abandoned: 0, hung: 0 };
    const row = this.rows.get(phase) ?? none;
    this.rows.set(phase, row);
    return row;
  }
}

/** Links two engines as those of one page. */
async function link(a: LanguageModel, b: LanguageModel) {
  const [x, y] = [await Serving.of(a), await Serving.of(b)];
  const { port1, port2 } = new MessageChannel();
  await Promise.all([x.hub.connect({ port: port1 }, never), y.hub.connect({ port: port2 }, never)]);
  return [x, y] as const;
}

const context = { signal: never, emit: () => {} };

/** Sends a prompt's keys and values. */
async function send(from: Serving, to: Serving, id: string, messages: number[]): Promise<true> {
  const prompt = { messages };
  const request = { prompt, end: messages.length, reserve: true, timeoutMs: 30_000 };
  const { kvAddr } = await to.handlers({}).prepRecv(request, context);
  if (!kvAddr) throw new Error("no pages were reserved");
  const { begin, end } = kvAddr;
  await from.handlers({}).remoteSend({ prompt, kvAddr, to: id, begin, end }, context);
  return true;
}

/** For `make figure-device-loss`: what was counted, in the file that it names. */
async function report(rows: object, recoveryMs: number[]): Promise<void> {
  const file = process.env["WEBBUILD_DEVICE_LOSS_REPORT"];
  if (!file) return;
  const ms = recoveryMs.sort((a, b) => a - b);
  const at = (share: number) => Math.round(ms[Math.floor(share * (ms.length - 1))] as number);
  const recovery_ms = { min: at(0), median: at(0.5), max: at(1) };
  await writeFile(file, JSON.stringify({ phases: rows, recovery_ms }));
}

test(`${LOSSES} losses in all phases: every request and every transfer ends, none of them wrongly`, async () => {
  const below = random(11);
  const witnesses = new Witnesses();
  const activity = new Activity();
  let losses = 0;
  let wanted = PHASES[0] as Phase | undefined;
  const broken = fragile(
    await dawn(),
    () => below(wanted === "load" || wanted === "rebuild" ? 24 : 8), // fewer than there are in one
    {
      counts: () => activity.phase === wanted,
      lost: () => {
        witnesses.lost(activity.phase);
        losses++;
        wanted = losses < LOSSES ? PHASES[losses % PHASES.length] : undefined;
      },
    },
  );
  const undisturbed = await open(await dawn());
  const other = await open(await dawn());
  const store = new MemoryStore();
  const recoveries: number[] = [];
  const document = [{ role: "user" as const, content: "A document, which is saved." }];
  let model = undefined as unknown as LanguageModel;
  let mine = undefined as unknown as Serving;
  let theirs = undefined as unknown as Serving;

  const loaded = async (): Promise<true> => {
    model = await open(broken.gpu, store);
    [mine, theirs] = await link(model, other);
    let last: number | null = null;
    model
      .watchDevice(({ recoveryMs }) => {
        if (recoveryMs !== null && recoveryMs !== last) recoveries.push(recoveryMs);
        last = recoveryMs;
      }, never)
      .catch(() => {});
    activity.model = model;
    return true;
  };
  const asked = async (request: GenerateRequest) => {
    const expected = await answer(undisturbed, request);
    return { request, right: (given: unknown) => isDeepStrictEqual(given, expected) };
  };
  const during = <T>(phase: Phase, work: Promise<T>): Promise<T> =>
    work.finally(activity.begin(phase));
  /** Keys and values of a prompt go one way; then whoever has them answers as ever. */
  const sent = async (phase: "send" | "receive"): Promise<void> => {
    const letters = Array.from({ length: 24 }, () => 97 + below(26));
    const [from, to, answers] = phase === "send" ? [mine, theirs, other] : [theirs, mine, model];
    const { request, right } = await asked({ ...ask(""), messages: letters });
    const sending = during(phase, send(from, to, answers.id, letters));
    await witnesses.ends("a transfer", sending, (all) => all);
    await witnesses.ends("an answer", answer(answers, request), right);
  };

  for (let round = 0; wanted; round++) {
    expect(round, `in ${wanted}, after ${losses}`).toBeLessThan(10 * LOSSES);
    const now: Phase = wanted;
    if (now === "load") {
      activity.model = undefined;
      model?.unload();
      await witnesses.ends("a load", loaded(), (all) => all);
    }
    const requests = [];
    for (let i = below(4); i >= 0; i--) requests.push(await asked(randomAsk(below)));
    const works = requests.map(({ request, right }) => {
      const told = activity.begin("prefill");
      return witnesses.ends("an answer", answer(model, request, never, told), right);
    });
    if (now === "save") {
      const saving = during("save", model.savePrefix(store, "doc", { messages: document }, never));
      works.push(witnesses.ends("saving", saving, ({ tokens }) => tokens > 20));
    }
    if (now === "restore") {
      await model.savePrefix(store, "doc", { messages: document }, never);
      model.scheduler.kv.tree.clear();
      const restoring = during("restore", model.restorePrefix(store, "doc"));
      works.push(witnesses.ends("restoring", restoring, (saved) => saved?.name === "doc"));
    }
    if (now === "send" || now === "receive") works.push(sent(now));
    await Promise.all(works);
  }
  const rows = Object.fromEntries(witnesses.rows);
  await report(rows, recoveries);
  expect(losses).toBe(LOSSES);
  for (const phase of PHASES) {
    const row = rows[phase] as Row;
    expect(row.losses, phase).toBeGreaterThan(LOSSES / PHASES.length - 1);
    expect(row.completed + row.abandoned, phase).toBeGreaterThan(0);
    expect(row, phase).toMatchObject({ wrong: 0, named: 0, hung: 0 });
    if (phase !== "send" && phase !== "receive") expect(row.abandoned, phase).toBe(0);
  }
  for (const { exchange, scheduler, executor } of [model, other]) {
    exchange.reservations.clear("the test is over");
    await executor.idle(); // surplus steps
    await expect.poll(() => scheduler.used).toEqual({ slots: 0, steps: 0 });
    const { pool, tree } = scheduler.kv;
    expect(pool.free + tree.held).toBe(pool.pages);
  }
}, 300_000);
