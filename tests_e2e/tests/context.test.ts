// Conversations and answers that are longer than the context.

import { expect, PACK, test } from "../harness/fixtures.js";

test("an answer slides beyond the context, turns that do not fit are dropped or summarised", async ({
  enginePage,
}) => {
  const outcome = await enginePage.evaluate(async (pack) => {
    const small = await webbuild.Engine.load(pack, { contextLength: 128 });
    try {
      type Message = { role: "user" | "assistant"; content: string };
      const user = (content: string): Message => ({ role: "user", content });
      const story = [user("Tell me a story.")];
      const { completions } = small.chat;
      // No token ends it: 2 is the demo model's end of a turn.
      const endless = { temperature: 0, logit_bias: { "0": -100, "1": -100, "2": -100 } };
      const stream = await completions.create({
        ...endless,
        messages: story,
        max_completion_tokens: 250,
        webbuild: { context: { overflow: "slide" } },
        stream: true,
        stream_options: { include_usage: true },
      });
      let text = "";
      let slid = null;
      for await (const { choices, usage } of stream) {
        text += choices[0]?.delta.content ?? "";
        slid = usage ?? slid;
      }
      // What the context still held of it is what an engine that ends there says.
      const full = await completions.create({ ...endless, messages: story });
      const begins = text.startsWith((full.choices[0]?.message.content ?? "?").trimEnd());

      const long = [
        ...Array.from({ length: 12 }, (_, i) => [
          user(`Question ${i}: what is ${i} + ${i}?`),
          { role: "assistant" as const, content: `It is ${i + i}.` },
        ]).flat(),
        user("Tell me a story."),
      ];
      const ask = (overflow: "error" | "slide" | (() => Message[])) =>
        completions
          .create({ messages: long, max_tokens: 4, webbuild: { context: { overflow } } })
          .then(
            ({ usage }) => ({ error: null, usage }),
            (error: Error) => ({ error: error.name, usage: null }),
          );
      let asked = 0;
      const summarise = () => {
        asked++;
        return story;
      };
      return {
        slid,
        fullTokens: full.usage.total_tokens,
        begins,
        refused: await ask("error"),
        dropped: await ask("slide"),
        summarised: await ask(summarise),
        asked,
        storyTokens: await small.countTokens(story),
      };
    } finally {
      await small.unload();
    }
  }, PACK);

  expect(outcome.slid).toMatchObject({
    completion_tokens: 250,
    total_tokens: outcome.storyTokens + 250,
    context: { dropped_messages: 0, slides: expect.any(Number) },
  });
  expect(outcome.slid?.context?.slides).toBeGreaterThanOrEqual(2);
  expect(outcome.fullTokens).toBe(128);
  expect(outcome.begins).toBe(true);
  expect(outcome.refused.error).toBe("ContextLengthExceeded");
  expect(outcome.dropped.usage?.context?.dropped_messages).toBeGreaterThan(0);
  expect(outcome.dropped.usage?.prompt_tokens).toBeLessThan(128);
  expect(outcome.summarised.usage?.prompt_tokens).toBe(outcome.storyTokens);
  expect(outcome.asked).toBe(1);
});
