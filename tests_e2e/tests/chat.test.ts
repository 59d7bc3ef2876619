// The chat completions API, asked of the demo model on a real adapter.

import { expect, PACK, test } from "../harness/fixtures.js";

const QUESTION = [{ role: "user" as const, content: "What is 17 + 25?" }];

test("streamed and whole answers are the same @tiers", async ({ enginePage }) => {
  const { streamed, whole } = await enginePage.evaluate(async (messages) => {
    const request = { messages, temperature: 0, max_tokens: 32 };
    const stream = await engine.chat.completions.create({
      ...request,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    return { streamed: chunks, whole: await engine.chat.completions.create(request) };
  }, QUESTION);

  const text = streamed.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
  const [choice] = whole.choices;
  expect(text).not.toBe("");
  expect(choice?.message).toMatchObject({ role: "assistant", content: text });
  expect(streamed[0]?.choices[0]?.delta.role).toBe("assistant");

  const reasons = streamed.map((chunk) => chunk.choices[0]?.finish_reason).filter(Boolean);
  expect(reasons).toEqual([choice?.finish_reason]);
  const usages = streamed.map((chunk) => chunk.usage).filter(Boolean);
  expect(usages).toHaveLength(1);
  expect(streamed.at(-1)?.usage).toMatchObject({
    prompt_tokens: whole.usage?.prompt_tokens,
    completion_tokens: whole.usage?.completion_tokens,
  });
  expect(whole.usage?.total_tokens).toBe(
    (whole.usage?.prompt_tokens ?? 0) + (whole.usage?.completion_tokens ?? 0),
  );
  expect(new Set(streamed.map((chunk) => chunk.id)).size).toBe(1);
  expect(streamed[0]?.object).toBe("chat.completion.chunk");
  expect(whole.object).toBe("chat.completion");
  // Seconds, not milliseconds.
  expect(String(whole.created)).toMatch(/^\d{10}$/);
});

test("a seed fixes the draw, and draws differ between seeds", async ({ enginePage }) => {
  const answers = await enginePage.evaluate(async () => {
    const draw = async (seed: number) => {
      const { choices } = await engine.chat.completions.create({
        messages: [{ role: "user", content: "Tell me a story." }],
        temperature: 1.5,
        max_tokens: 48,
        seed,
      });
      return choices[0]?.message.content;
    };
    return {
      same: [await draw(7), await draw(7)],
      others: [await draw(1), await draw(2), await draw(3)],
    };
  });
  expect(answers.same[0]).toBe(answers.same[1]);
  expect(new Set([answers.same[0], ...answers.others]).size).toBeGreaterThan(1);
});

test("max_tokens ends an answer with finish_reason length", async ({ enginePage }) => {
  const { choices, usage } = await enginePage.evaluate(() =>
    engine.chat.completions.create({
      messages: [{ role: "user", content: "Tell me a story." }],
      temperature: 0,
      max_completion_tokens: 3,
    }),
  );
  expect(choices[0]?.finish_reason).toBe("length");
  expect(usage?.completion_tokens).toBe(3);
});

test("a stop string ends an answer and is not part of it", async ({ enginePage }) => {
  const { whole, cut } = await enginePage.evaluate(async (messages) => {
    const request = { messages, temperature: 0, max_tokens: 32 };
    const whole = (await engine.chat.completions.create(request)).choices[0]?.message.content ?? "";
    const stop = whole.slice(-3, -1);
    return { whole, cut: (await engine.chat.completions.create({ ...request, stop })).choices[0] };
  }, QUESTION);
  const stop = whole.slice(-3, -1);
  expect(cut?.finish_reason).toBe("stop");
  expect(cut?.message.content).toBe(whole.slice(0, whole.indexOf(stop)));
});

test("log-probabilities name the tokens of the answer, likeliest first", async ({ enginePage }) => {
  const choice = await enginePage.evaluate(async (messages) => {
    const { choices } = await engine.chat.completions.create({
      messages,
      temperature: 0,
      max_tokens: 16,
      logprobs: true,
      top_logprobs: 3,
    });
    return choices[0];
  }, QUESTION);
  const entries = choice?.logprobs?.content ?? [];
  const text = new TextDecoder().decode(
    new Uint8Array(entries.flatMap(({ bytes }) => bytes ?? [])),
  );
  expect(text).toContain(choice?.message.content);
  for (const { token, logprob, top_logprobs } of entries) {
    expect(logprob).toBeLessThanOrEqual(0);
    expect(top_logprobs).toHaveLength(3);
    // Greedy takes the first of them.
    expect(top_logprobs[0]).toMatchObject({ token, logprob });
    const sorted = top_logprobs.map((top) => top.logprob).sort((a, b) => b - a);
    expect(top_logprobs.map((top) => top.logprob)).toEqual(sorted);
  }
});

test("an aborted answer ends, and the next one is whole", async ({ enginePage }) => {
  const { error, received, after } = await enginePage.evaluate(async (messages) => {
    const controller = new AbortController();
    let received = 0;
    let error = "";
    try {
      const stream = await engine.chat.completions.create(
        {
          messages: [{ role: "user", content: "Tell me a story." }],
          temperature: 0,
          stream: true,
        },
        { signal: controller.signal },
      );
      for await (const chunk of stream) {
        if (chunk.choices[0]?.delta.content && ++received === 2) controller.abort();
      }
    } catch (caught) {
      error = (caught as Error).name;
    }
    const { choices } = await engine.chat.completions.create({ messages, temperature: 0 });
    return { error, received, after: choices[0] };
  }, QUESTION);
  expect(error).toBe("AbortError");
  expect(received).toBeGreaterThanOrEqual(2);
  expect(after).toMatchObject({ finish_reason: "stop", message: { role: "assistant" } });
  expect(after?.message.content).not.toBe("");
});

test("leaving a stream early frees the engine for the next request", async ({ enginePage }) => {
  const answers = await enginePage.evaluate(async (messages) => {
    const request = { messages, temperature: 0, max_tokens: 32 };
    const before = await engine.chat.completions.create(request);
    const stream = await engine.chat.completions.create({
      messages: [{ role: "user", content: "Tell me a story." }],
      stream: true,
    });
    for await (const _ of stream) break;
    const after = await engine.chat.completions.create(request);
    return [before, after].map(({ choices }) => choices[0]?.message.content);
  }, QUESTION);
  expect(answers[0]).toBe(answers[1]);
});

for (const count of [8, 32]) {
  test(`${count} mixed requests at once get what each gets alone`, async ({ enginePage }) => {
    const { alone, together, batch } = await enginePage.evaluate(async (count) => {
      const questions = ["What is 17 + 25?", "What is webbuild?", "Tell me a story.", "Hello!"];
      const more = " Say it in other words.";
      const ask = async (i: number) => {
        const { choices } = await engine.chat.completions.create({
          messages: [{ role: "user", content: questions[i % 4] + more.repeat(i % 3) }],
          temperature: 0,
          max_tokens: 4 + ((7 * i) % 40),
          ...(i % 5 === 0 ? { stop: [" a", "."] } : {}),
          ...(i % 6 === 1 ? { frequency_penalty: 0.7 } : {}),
          webbuild: { priority: (i % 4) - 1 },
        });
        return choices[0]?.message.content;
      };
      const alone = [];
      for (let i = 0; i < count; i++) alone.push(await ask(i));
      const { sums: before } = await engine.stats();
      const together = await Promise.all(alone.map((_, i) => ask(i)));
      const { sums: after } = await engine.stats();
      const batch = (after.batch - before.batch) / (after.steps - before.steps);
      return { alone, together, batch };
    }, count);
    expect(together).toEqual(alone);
    expect(batch).toBeGreaterThan(2);
  });
}

test("the second turn of a conversation of 1,500 tokens computes the new ones alone", async ({
  enginePage,
}) => {
  const [first, second] = await enginePage.evaluate(async () => {
    const content = Array.from({ length: 400 }, (_, i) => 1000 + ((i * 131) % 997)).join(" ");
    const messages = [{ role: "user" as const, content }];
    const ask = (more: { role: "user" | "assistant"; content: string }[]) =>
      engine.chat.completions.create({
        messages: [...messages, ...more],
        temperature: 0,
        max_tokens: 16,
      });
    const answer = await ask([]);
    const said = answer.choices[0]?.message.content ?? "";
    const next = await ask([
      { role: "assistant", content: said },
      { role: "user", content: "And then?" },
    ]);
    return [answer, next].map(({ usage }) => usage);
  });
  if (!first || !second) throw new Error("no usage");
  expect(second.prompt_tokens).toBeGreaterThan(1500);
  const old = first.prompt_tokens + first.completion_tokens;
  const computed = second.prompt_tokens - (second.prompt_tokens_details?.cached_tokens ?? 0);
  // The answer's last token was drawn, but not computed.
  expect(computed).toBeLessThanOrEqual(second.prompt_tokens - old + 1);
});

test("a decoded token costs at most one submit and creates nothing @tiers", async ({
  enginePage,
}) => {
  const { before, after, usage } = await enginePage.evaluate(async () => {
    const request = {
      messages: [{ role: "user" as const, content: "Tell me a story." }],
      temperature: 0,
      max_tokens: 24,
    };
    await engine.chat.completions.create(request); // warm-up
    const before = await engine.stats();
    const { usage } = await engine.chat.completions.create(request);
    return { before, after: await engine.stats(), usage };
  });
  expect(usage?.completion_tokens).toBeGreaterThan(8);
  expect(after.createdBuffers - before.createdBuffers).toBe(0);
  expect(after.createdBindGroups - before.createdBindGroups).toBe(0);
  // The prompt's chunk, the answer's tokens, and at most the run-ahead's surplus.
  const submits = after.submits - before.submits;
  expect(submits).toBeGreaterThanOrEqual(usage?.completion_tokens ?? 0);
  expect(submits).toBeLessThanOrEqual((usage?.completion_tokens ?? 0) + 1 + 4);
});

test("memory and model are told beforehand and afterwards", async ({ enginePage }) => {
  const { info, can } = await enginePage.evaluate(async (pack) => {
    return { info: engine.info, can: await webbuild.Engine.canRun(pack) };
  }, PACK);
  const { bytes, tier, contextLength } = info;
  expect(can).toMatchObject({ ok: true, reasons: [], bytes, tier, contextLength });
  expect(bytes.total).toBe(bytes.weights + bytes.kv + bytes.activations);
  expect(can.downloadBytes).toBeGreaterThan(0);
});

test("an unloaded engine says so", async ({ page }) => {
  const name = await page.evaluate(async (pack) => {
    const engine = await webbuild.Engine.load(pack);
    await engine.unload();
    const asked = engine.chat.completions.create({ messages: [{ role: "user", content: "Hi" }] });
    return asked.then(
      () => "answered",
      (error: Error) => error.name,
    );
  }, PACK);
  expect(name).toBe("EngineUnloaded");
});
