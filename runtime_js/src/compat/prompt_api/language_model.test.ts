import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Engine } from "../../index.js";
import { dawn } from "../../testing/host.js";
import { tinyPack } from "../../testing/tiny_pack.js";
import { installLanguageModel, type LanguageModelClass, languageModelOf } from "./index.js";

const system = { role: "system" as const, content: "ab" };

let folder: string;
let engine: Engine;
let LanguageModel: LanguageModelClass;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "pack-"));
  for (const [name, bytes] of tinyPack(96)) {
    writeFileSync(join(folder, name), bytes);
  }
  engine = await Engine.load(folder, { worker: false, gpu: await dawn() });
  LanguageModel = languageModelOf(engine);
});

afterAll(async () => {
  await engine.unload();
  rmSync(folder, { recursive: true });
});

const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => {
      throw new Error("it was no failure");
    },
    (error: DOMException) => ({ name: error.name, own: error instanceof DOMException }),
  );

const text = async (stream: ReadableStream<string>) => {
  let all = "";
  for await (const piece of stream) all += piece;
  return all;
};

describe("a session", () => {
  test("answers as the engine does, keeps the conversation, and counts its tokens", async () => {
    const session = await LanguageModel.create({ initialPrompts: [system], temperature: 0 });
    const before = await engine.countTokens([system]);
    expect([session.contextUsage, session.inputUsage]).toEqual([before, before]);
    expect([session.contextWindow, session.inputQuota]).toEqual([96, 96]);
    const adds = await session.measureContextUsage("hi");
    expect(adds).toBeGreaterThan(2);
    expect(await session.measureInputUsage("hi")).toBe(adds);

    const prompt = session.prompt("hi");
    const answer = await prompt;
    const messages = [system, { role: "user" as const, content: "hi" }];
    const plain = await engine.chat.completions.create({ messages, temperature: 0 });
    expect(answer).toBe(plain.choices[0]?.message.content);
    const said = [...messages, { role: "assistant" as const, content: answer }];
    expect(session.contextUsage).toBe(await engine.countTokens(said));
    session.destroy();
  });

  test("streams text, and prompts wait for one another", async () => {
    const [one, two] = await Promise.all([
      LanguageModel.create({ samplingMode: "most-predictable" }),
      LanguageModel.create({ samplingMode: "most-predictable" }),
    ]);
    expect([one.samplingMode, one.temperature]).toEqual(["most-predictable", 0]);
    const first = await one.prompt("a");
    const second = await one.prompt("b");
    const both = await Promise.all([text(two.promptStreaming("a")), two.prompt("b")]);
    expect(both).toEqual([first, second]);
  });

  test("a clone goes on by itself, and shares what was computed", async () => {
    const session = await LanguageModel.create({ temperature: 0 });
    await session.append([{ role: "user", content: "some words that are computed once" }]);
    const usage = session.contextUsage;
    const clone = await session.clone();
    expect(clone).toBeInstanceOf(LanguageModel);
    expect(clone.contextUsage).toBe(usage);
    const [a, b] = [await clone.prompt("x"), await session.prompt("x")];
    expect(a).toBe(b);
    expect(clone.lastUsage?.prompt_tokens_details.cached_tokens).toBeGreaterThanOrEqual(32);
    await clone.prompt("y");
    expect(session.contextUsage).toBeLessThan(clone.contextUsage);
  });

  test("drops the oldest turns when the context is full, tells, and keeps the initial prompts", async () => {
    const session = await LanguageModel.create({ initialPrompts: [system], temperature: 0 });
    const heard: string[] = [];
    session.addEventListener("contextoverflow", () => heard.push("context"));
    session.onquotaoverflow = () => heard.push("quota");
    expect(session.onquotaoverflow).toBeTypeOf("function");
    const turn = "0123456789012345678901234";
    await session.append(turn);
    await session.append([{ role: "assistant", content: "0" }]);
    expect(heard).toEqual([]);
    await session.append(turn);
    expect(heard).toEqual(["context", "quota"]);
    const kept = [system, { role: "user" as const, content: turn }];
    expect(session.contextUsage).toBe(await engine.countTokens(kept));
    session.onquotaoverflow = null;

    const usage = session.contextUsage;
    const error = await session.prompt("x".repeat(200)).catch((error) => error);
    expect(error).toMatchObject({ name: "QuotaExceededError" });
    expect(error.requested).toBeGreaterThan(200);
    expect(error.quota).toBe(95 - usage);
    expect([session.contextUsage, heard.length]).toEqual([usage, 2]);

    const controller = new AbortController();
    session.oncontextoverflow = () => controller.abort();
    const left = session.prompt(turn, { signal: controller.signal });
    expect((await failure(left)).name).toBe("AbortError");
    expect(session.contextUsage).toBe(await engine.countTokens([system])); // what was dropped stays so
  });

  test("an aborted prompt is not kept, wherever it was", async () => {
    const session = await LanguageModel.create({ temperature: 0 });
    const controller = new AbortController();
    const running = session.prompt("a", { signal: controller.signal });
    const waiting = session.prompt("b", { signal: controller.signal });
    const after = session.prompt("c");
    controller.abort();
    const ends = await Promise.all([failure(running), failure(waiting)]);
    expect(ends.map(({ name }) => name)).toEqual(["AbortError", "AbortError"]);
    const answer = await after;
    const said = [
      { role: "user" as const, content: "c" },
      { role: "assistant" as const, content: answer },
    ];
    expect(session.contextUsage).toBe(await engine.countTokens(said));

    const stream = session.promptStreaming("d").getReader();
    await stream.read();
    await stream.cancel();
    await expect(session.prompt("e")).resolves.toBeTypeOf("string");
  });

  test("once destroyed, ends what is under way and refuses the rest", async () => {
    const controller = new AbortController();
    const session = await LanguageModel.create({ signal: controller.signal });
    const running = session.prompt("a");
    session.destroy();
    expect(await failure(running)).toEqual({ name: "AbortError", own: true });
    const gone = { name: "InvalidStateError", own: true };
    expect(await failure(session.prompt("b"))).toEqual(gone);
    expect(await failure(session.append("b"))).toEqual(gone);
    expect(await failure(session.clone())).toEqual(gone);
    expect(await failure(text(session.promptStreaming("b")))).toEqual(gone);

    const other = await LanguageModel.create({ signal: controller.signal });
    controller.abort();
    expect(await failure(other.prompt("b"))).toEqual(gone);
    await expect(LanguageModel.create({ signal: controller.signal })).rejects.toBe(
      controller.signal.reason,
    );
  });
});

describe("what can't be", () => {
  const cases: [what: string, error: string, make: () => Promise<unknown>][] = [
    ["images", "NotSupportedError", () => make({ expectedInputs: [{ type: "image" }] })],
    [
      "calls to read",
      "NotSupportedError",
      () => make({ expectedOutputs: [{ type: "tool-call" }] }),
    ],
    [
      "a mode that was one",
      "TypeError",
      () => make({ samplingMode: "slightly-creative" as never }),
    ],
    ["a language that is none", "RangeError", () => make({ expectedInputs: [french] })],
    ["a negative temperature", "RangeError", () => make({ temperature: -1 })],
    ["topK 0", "RangeError", () => make({ topK: 0 })],
    ["a mode and a temperature", "TypeError", () => make({ samplingMode: "creative", topK: 2 })],
    ["system messages twice", "TypeError", () => make({ initialPrompts: [system, system] })],
    ["a long beginning", "QuotaExceededError", () => make({ initialPrompts: [long] })],
    ["a late system message", "TypeError", () => ask([{ role: "user", content: "a" }, system])],
    ["an unknown role", "TypeError", () => ask([{ role: "tool" as "user", content: "a" }])],
    ["a tool's response", "NotSupportedError", () => ask([{ role: "user", content: [response] }])],
    ["an image", "NotSupportedError", () => ask([{ role: "user", content: [image] }])],
    ["a text that is none", "TypeError", () => ask([{ role: "user", content: [none] }])],
    ["a prefix of a user", "SyntaxError", () => ask([{ ...system, role: "user", prefix: true }])],
    ["a prefix that is not last", "SyntaxError", () => ask([begun, { ...begun }])],
    [
      "an answer's beginning at the start",
      "NotSupportedError",
      () => make({ initialPrompts: [begun] }),
    ],
    [
      "a schema that can't be held to",
      "NotSupportedError",
      () => ask("a", { responseConstraint: { not: {} } }),
    ],
    ["a constraint's flag", "NotSupportedError", () => ask("a", { responseConstraint: /a/i })],
    ["a constraint of no kind", "TypeError", () => ask("a", { responseConstraint: [] })],
    ["nothing to leave out", "TypeError", () => ask("a", { omitResponseConstraintInput: true })],
  ];
  const begun = { role: "assistant" as const, content: "a", prefix: true };
  const french = { type: "text" as const, languages: ["no language"] };
  const long = { role: "system" as const, content: "x".repeat(200) };
  const image = { type: "image" as const, value: null };
  const none = { type: "text" as const, value: 1 };
  const response = { type: "tool-response" as const, value: "a" };
  const make = (options: Parameters<LanguageModelClass["create"]>[0]) =>
    LanguageModel.create(options);
  const ask = async (...args: Parameters<InstanceType<LanguageModelClass>["prompt"]>) =>
    (await LanguageModel.create()).prompt(...args);

  test.each(cases)("%s: %s", async (_, name, make) => {
    expect((await failure(make())).name).toBe(name);
  });

  test("a temperature above the most is the most, a fraction of topK is left out", async () => {
    const session = await make({ temperature: Number.POSITIVE_INFINITY, topK: 3.7 });
    expect([session.temperature, session.topK, session.samplingMode]).toEqual([2, 3, null]);
    expect(await LanguageModel.params()).toMatchObject({ maxTemperature: 2 });
    await expect(session.prompt("a")).resolves.toBeTypeOf("string");
  });
});

describe("a pack by its URL", () => {
  test("is downloadable, then loads for whoever asks, and tells how far it is", async () => {
    const own = languageModelOf(folder, { worker: false, gpu: await dawn() });
    expect(await own.availability()).toMatch(/^(down)?load|available/);
    expect(await own.availability({ expectedInputs: [{ type: "audio" }] })).toBe("unavailable");
    const given = new AbortController();
    const loaded: number[] = [];
    const monitor = (m: EventTarget) =>
      m.addEventListener("downloadprogress", (e) => loaded.push((e as ProgressEvent).loaded));
    const left = own.create({ signal: given.signal });
    const kept = own.create({ monitor });
    expect(await own.availability()).toBe("downloading");
    given.abort();
    expect((await failure(left)).name).toBe("AbortError");
    const session = await kept;
    expect(loaded[0]).toBe(0);
    expect(loaded.at(-1)).toBe(1);
    expect(loaded).toEqual(loaded.toSorted((a, b) => a - b));
    expect(await own.availability()).toBe("available");
    await expect(session.prompt("a")).resolves.toBeTypeOf("string");
  });

  test("a load that nobody waits for ends, and one of nothing fails by name", async () => {
    const own = languageModelOf(`${folder}/nothing/`, { worker: false, gpu: await dawn() });
    expect(await failure(own.create())).toEqual({ name: "OperationError", own: true });
    expect((await failure(own.params())).name).toBe("UnknownError");
    const again = languageModelOf(folder, { worker: false, gpu: await dawn() });
    const given = new AbortController();
    const left = again.create({ signal: given.signal });
    given.abort();
    expect((await failure(left)).name).toBe("AbortError");
    await expect.poll(() => again.availability()).not.toBe("downloading");
  });

  test("has no params where it can't run", async () => {
    const nowhere = languageModelOf(folder, { worker: false }); // no WebGPU in Node
    expect(await nowhere.availability()).toBe("unavailable");
    expect(await nowhere.params()).toBe(null);
  });

  test("is installed where there is no LanguageModel that works", async () => {
    const scope = globalThis as { LanguageModel?: unknown };
    try {
      scope.LanguageModel = { availability: async () => "unavailable" };
      const own = await installLanguageModel(engine);
      expect(scope.LanguageModel).toBe(own);
      expect(await own.availability()).toBe("available");
      expect(await installLanguageModel(folder)).toBe(own);
    } finally {
      delete scope.LanguageModel;
    }
  });
});
