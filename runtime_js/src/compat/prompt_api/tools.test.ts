/** Sessions with tools over an engine whose answers are written beforehand. */
import { afterEach, describe, expect, test } from "vitest";
import { type Engine, GrammarError, ToolsUnsupported } from "../../index.js";
import { countOf, type Script, scriptedEngine } from "../../testing/scripted_engine.js";
import { type LanguageModelTool, languageModelOf } from "./index.js";

const city = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const weather = (execute: LanguageModelTool["execute"]): LanguageModelTool => ({
  name: "get_weather",
  description: "Get the weather in a city",
  inputSchema: city,
  execute,
});
const sunny = weather(async ({ city }) => `sunny in ${city}`);
const told = {
  type: "function",
  function: { name: "get_weather", description: "Get the weather in a city", parameters: city },
};
const call = (input = '{"city": "Paris"}') => ["get_weather", input] as [string, string];
const QUESTION = { role: "user", content: "How is it in Paris?" };
const ask = "How is it in Paris?";

const engines: Engine[] = [];
afterEach(() => Promise.all(engines.splice(0).map((engine) => engine.unload())));

async function open(script: Script, tools: LanguageModelTool[] = [sunny]) {
  const scripted = await scriptedEngine(script);
  engines.push(scripted.engine);
  const LanguageModel = languageModelOf(scripted.engine);
  return { ...scripted, LanguageModel, session: await LanguageModel.create({ tools }) };
}

const messagesOf = (request: { messages: unknown } | undefined) => request?.messages as object[];
const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => {
      throw new Error("it was no failure");
    },
    (error: DOMException) => error,
  );

describe("a prompt", () => {
  test("has what the model calls run, all at once, and answers with what they gave", async () => {
    const calls = [call(), call('{"city": "Oslo"}')];
    const { session, asked } = await open(
      { lines: [{ reasoning: "hm", calls }, { text: "Both are fine." }, { text: "Bye." }] },
      [weather(async ({ city }) => meet(city))],
    );
    const running: string[] = [];
    let both = () => {};
    const together = new Promise<void>((resolve) => {
      both = resolve;
    });
    async function meet(city: string) {
      running.push(city);
      if (running.length === 2) both();
      await together; // hangs if they are run one after another
      return `fine in ${city}`;
    }
    expect(await session.prompt(ask)).toBe("Both are fine.");
    expect(running).toEqual(["Paris", "Oslo"]);
    expect(asked[0]).toMatchObject({ tools: [told], toolChoice: { mode: "auto" } });
    const said = (id: number, city: string) => ({
      id: `call_${id}`,
      type: "function",
      function: { name: "get_weather", arguments: { city } },
    });
    const round = [
      QUESTION,
      {
        role: "assistant",
        content: null,
        reasoning_content: "hm",
        tool_calls: [said(0, "Paris"), said(1, "Oslo")],
      },
      { role: "tool", content: "fine in Paris", tool_call_id: "call_0" },
      { role: "tool", content: "fine in Oslo", tool_call_id: "call_1" },
    ];
    expect(messagesOf(asked[1])).toEqual(round);

    await session.prompt("Thanks.");
    const answer = { role: "assistant", content: "Both are fine." };
    expect(messagesOf(asked[2])).toEqual([...round, answer, { role: "user", content: "Thanks." }]);
  });

  test("streams what is said beside calls and after them", async () => {
    const lines = [{ text: "Wait. ", calls: [call()] }, { text: "It is sunny." }];
    const { session, asked } = await open({ lines });
    const pieces: string[] = [];
    for await (const piece of session.promptStreaming(ask)) pieces.push(piece);
    expect(pieces.join("")).toBe("Wait. It is sunny.");
    expect(pieces.length).toBeGreaterThan(3);
    expect(messagesOf(asked[1])[1]).toMatchObject({ content: "Wait. " });
  });

  test("is held to its constraint in each round, and begins as it is told to", async () => {
    const round = [{ calls: [call()] }, { text: "So: 7" }];
    const { session, asked } = await open({
      lines: [...round, { calls: [call()] }, { text: "7", finish: "length" }],
    });
    const responseConstraint = { type: "integer" };
    const begun = { role: "assistant" as const, content: "So: ", prefix: true };
    const input = [{ role: "user" as const, content: ask }, begun];
    expect(await session.prompt(input, { responseConstraint })).toBe("7");
    expect(asked.map(({ grammar }) => grammar?.kind)).toEqual(["structural_tag", "structural_tag"]);
    const usage = session.contextUsage;
    const cut = await failure(session.prompt(ask, { responseConstraint }));
    expect(cut.name).toBe("SyntaxError");
    expect(asked[3]?.grammar?.kind).toBe("json_schema");
    expect(session.contextUsage).toBe(usage);
  });

  test("ends by name when the model calls and calls", async () => {
    let runs = 0;
    const lines = Array.from({ length: 11 }, () => ({ calls: [call()] }));
    const { session } = await open({ lines: [...lines, { text: "Hello." }] }, [
      weather(async () => String(runs++)),
    ]);
    const before = session.contextUsage;
    const error = await failure(session.prompt(ask));
    expect(error).toMatchObject({ name: "OperationError", message: /system message when to stop/ });
    expect([runs, session.contextUsage]).toEqual([10, before]);
    expect(await session.prompt("Hi")).toBe("Hello.");
  });

  test("ends by name when the context is full within a call, before any other is run", async () => {
    let runs = 0;
    const calls = [call(), call('{"city": "Os')];
    const { session } = await open({ lines: [{ calls, finish: "length" }] }, [
      weather(async () => String(runs++)),
    ]);
    const error = await failure(session.prompt(ask));
    expect(error).toMatchObject({ name: "OperationError", message: /call of get_weather/ });
    expect(runs).toBe(0);
  });
});

test("what fails in the engine without a name of its own is an UnknownError", async () => {
  const { session } = await open({
    lines: [new Error("oh"), { calls: [call()] }, new Error("oh")],
  });
  const before = session.contextUsage;
  for (const _ of ["the first round", "the second"]) {
    const error = await failure(session.prompt(ask));
    expect(error).toMatchObject({ name: "UnknownError", message: "oh" });
    expect(session.contextUsage).toBe(before);
  }
});

describe("what a tool gives", () => {
  const results = async (execute: LanguageModelTool["execute"]) => {
    const lines = [{ calls: [call()] }, { text: "So." }];
    const { session, asked } = await open({ lines }, [weather(execute)]);
    await session.prompt(ask);
    return (messagesOf(asked[1])[2] as { content: string }).content;
  };

  test.each<[what: string, value: unknown, content: string]>([
    ["a text", "sunny", "sunny"],
    ["a number", 21, "21"],
    ["nothing", undefined, "undefined"],
  ])("%s is a text", async (_, value, content) => {
    expect(await results(async () => value as string)).toBe(content);
    expect(await results(() => value as never)).toBe(content);
  });

  test.each<[what: string, execute: LanguageModelTool["execute"]]>([
    ["throws", () => throws()],
    ["rejects", async () => throws()],
  ])("where it %s, the model is told", async (_, execute) => {
    expect(JSON.parse(await results(execute))).toEqual({
      status: "error",
      message: "no such city",
    });
  });
  const throws = () => {
    throw new Error("no such city");
  };

  test.each([[{ sky: "sunny" }], [Symbol("sunny")], [() => "sunny"]])(
    "an object is a mistake of the page's: %s",
    async (value) => {
      const { session } = await open({ lines: [{ calls: [call()] }, { text: "Hello." }] }, [
        weather(async () => value as never),
      ]);
      const before = session.contextUsage;
      const error = await failure(session.prompt(ask));
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toMatch(/get_weather.*JSON\.stringify/);
      expect(session.contextUsage).toBe(before);
      expect(await session.prompt("Hi")).toBe("Hello.");
    },
  );
});

describe("aborted while a tool runs, a prompt", () => {
  type Session = Awaited<ReturnType<typeof open>>["session"];
  test.each<[how: string, abort: (controller: AbortController, session: Session) => void]>([
    ["by its signal", (controller) => controller.abort()],
    ["as the session is destroyed", (_, session) => session.destroy()],
  ])("%s ends at once, tells the tool, and is not kept", async (how, abort) => {
    let given: AbortSignal | undefined;
    let begun = () => {};
    const begins = new Promise<void>((resolve) => {
      begun = resolve;
    });
    const { session, asked } = await open({ lines: [{ calls: [call()] }, { text: "Hello." }] }, [
      weather((_, { signal }) => {
        given = signal;
        begun();
        return new Promise(() => {}); // it never ends by itself
      }),
    ]);
    const before = session.contextUsage;
    const controller = new AbortController();
    const running = failure(session.prompt(ask, { signal: controller.signal }));
    const clone = await session.clone();
    await begins;
    abort(controller, session);
    expect((await running).name).toBe("AbortError");
    expect(given?.aborted).toBe(true);
    const next = how === "by its signal" ? session : clone;
    expect(next.contextUsage).toBe(before);
    expect(await next.prompt("Hi")).toBe("Hello.");
    expect(messagesOf(asked[1])).toEqual([{ role: "user", content: "Hi" }]);
  });

  test("that streams, too, when its stream is cancelled", async () => {
    let begun = (_: AbortSignal) => {};
    const begins = new Promise<AbortSignal>((resolve) => {
      begun = resolve;
    });
    const lines = [{ text: "Wait.", calls: [call()] }, { text: "Hello." }];
    const { session } = await open({ lines }, [
      weather((_, { signal }) => {
        begun(signal);
        return new Promise(() => {});
      }),
    ]);
    const reader = session.promptStreaming(ask).getReader();
    for (let text = ""; text !== "Wait."; ) text += (await reader.read()).value;
    const signal = await begins;
    await reader.cancel();
    expect(signal.aborted).toBe(true);
    expect(await session.prompt("Hi")).toBe("Hello.");
  });
});

describe("a session's tools", () => {
  test("count, are computed at once, and go along with clones and what is appended", async () => {
    const { session, asked, warmed, engine } = await open({
      lines: [{ calls: [call()] }, { text: "Sunny." }],
    });
    const empty = [{ role: "user" as const, content: "" }];
    const tools = [told] as never;
    const alone = (await engine.countTokens(empty, { tools })) - (await engine.countTokens(empty));
    expect(session.contextUsage).toBe(alone);
    expect(alone).toBeGreaterThan(100);
    expect(warmed).toHaveLength(1);

    const adds = await session.measureContextUsage("Hi");
    await session.append("Hi");
    expect(warmed[1]).toMatchObject({ tools: [told] });
    expect(adds).toBe(2 + 4);
    expect(session.contextUsage).toBe(alone + adds);

    const clone = await session.clone();
    expect(clone.contextUsage).toBe(session.contextUsage);
    expect(await clone.prompt(ask)).toBe("Sunny.");
    expect(asked.map(({ tools }) => tools)).toEqual([[told], [told]]);
    expect(messagesOf(asked[1]).at(-1)).toMatchObject({ content: "sunny in Paris" });
    const said = [...messagesOf(asked[1]), { role: "assistant", content: "Sunny." }];
    expect(said).toHaveLength(5);
    expect(clone.contextUsage).toBe(countOf({ messages: said as never, tools: [told] as never }));
    expect(clone.lastUsage?.prompt_tokens).toBe(countOf(asked[1] as never));
    expect(session.contextUsage).toBe(alone + adds);
  });

  test("the oldest turn goes with its calls and their results", async () => {
    const lines = [{ calls: [call()] }, { text: "Sunny." }, { calls: [call()] }, { text: "Yes." }];
    const { session, asked } = await open({ lines, contextLength: 560 });
    let heard = 0;
    session.oncontextoverflow = () => heard++;
    await session.prompt(ask);
    expect(heard).toBe(0);
    expect(await session.prompt(`${ask}${"!".repeat(30)}`)).toBe("Yes.");
    expect(heard).toBe(1);
    const roles = asked
      .slice(2)
      .map((request) => messagesOf(request).map((m) => m as { role: string }));
    expect(roles[1]?.map(({ role }) => role)).toEqual(["user", "assistant", "tool"]);
  });

  test("a result that leaves no room is a QuotaExceededError, and the prompt is not kept", async () => {
    const { session } = await open(
      { lines: [{ calls: [call()] }, { text: "Hello." }], contextLength: 560 },
      [weather(async () => "x".repeat(600))],
    );
    const before = session.contextUsage;
    expect((await failure(session.prompt(ask))).name).toBe("QuotaExceededError");
    expect(session.contextUsage).toBe(before);
    expect(await session.prompt("Hi")).toBe("Hello.");
  });

  test("may be told of as the explainer does", async () => {
    const { LanguageModel } = await open({ lines: [] });
    const options = {
      tools: [sunny],
      expectedInputs: [{ type: "text" as const }, { type: "tool-response" as const }],
      expectedOutputs: [{ type: "text" as const }, { type: "tool-call" as const }],
    };
    expect(await LanguageModel.availability(options)).toBe("available");
    await expect(LanguageModel.create(options)).resolves.toBeInstanceOf(LanguageModel);
    const wrong = { ...options, expectedInputs: [{ type: "tool-call" as const }] };
    expect(await LanguageModel.availability(wrong)).toBe("unavailable");
    expect((await failure(LanguageModel.create(wrong))).name).toBe("NotSupportedError");
  });

  test("are as they were when the session was made", async () => {
    const tool = { ...sunny, inputSchema: structuredClone(city) };
    const { session, asked } = await open({ lines: [{ text: "Hello." }] }, [tool]);
    tool.inputSchema.required = [];
    tool.name = "other";
    await session.prompt("Hi");
    expect(asked[0]?.tools).toEqual([told]);
  });
});

describe("refused at create()", () => {
  const cyclic: Record<string, unknown> = { type: "object" };
  cyclic["properties"] = cyclic;
  const cases: [what: string, tools: unknown, message: RegExp][] = [
    ["no array", {}, /^tools must be an array/],
    [
      "too many",
      Array.from({ length: 129 }, (_, i) => ({ ...sunny, name: `t${i}` })),
      /at most 128/,
    ],
    ["no tool", [null], /^tools\[0\] must be \{name/],
    ["a name of twice", [sunny, sunny], /^tools\[1\]\.name: get_weather is there twice/],
    [
      "a name with a space",
      [{ ...sunny, name: "get weather" }],
      /^tools\[0\]\.name.*"get weather"/,
    ],
    ["no name", [{ ...sunny, name: undefined }], /^tools\[0\]\.name.*undefined/],
    ["no description", [{ ...sunny, description: undefined }], /^tools\[0\]\.description/],
    ["no execute", [{ ...sunny, execute: "run" }], /^tools\[0\]\.execute/],
    ["no schema", [{ ...sunny, inputSchema: undefined }], /^tools\[0\]\.inputSchema/],
    ["a schema of a list", [{ ...sunny, inputSchema: [] }], /^tools\[0\]\.inputSchema/],
    ["a schema of a text", [{ ...sunny, inputSchema: { type: "string" } }], /not of type "string"/],
    ["a schema in itself", [{ ...sunny, inputSchema: cyclic }], /^tools\[0\]\.inputSchema/],
  ];
  test.each(cases)("%s", async (_, tools, message) => {
    const { LanguageModel } = await open({ lines: [] });
    for (const method of ["create", "availability"] as const) {
      const error = await failure(LanguageModel[method]({ tools: tools as never }));
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toMatch(message);
    }
  });

  test.each([
    new GrammarError("not: not supported"),
    new ToolsUnsupported("takes no tools", { param: "tools" }),
  ])("what the model can't do: $name", async (error) => {
    const refuses = ({ tools }: { tools?: unknown }) => (tools ? error : undefined);
    const made = await failure(open({ lines: [], refuses }));
    expect(made.name).toBe("NotSupportedError");
    expect(made.message).toBe(error.message);
    expect(made.cause).toBeInstanceOf(error.constructor);
  });

  test("tools that the context has no room for", async () => {
    const error = await failure(open({ lines: [], contextLength: 100 }));
    expect(error).toMatchObject({ name: "QuotaExceededError", quota: 99 });
    expect((error as unknown as { requested: number }).requested).toBeGreaterThan(100);
  });
});
