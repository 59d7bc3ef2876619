import type { ChatCompletionMessageParam, Engine } from "webbuild";
import { runTool, tools } from "./tools.js";

const MOST_ROUNDS = 5;

/**
 * Asks, runs what the model calls, and asks again with the results, until there is an answer.
 * @yields every message as it comes: calls, results, and the answer last
 */
export async function* runAgent(
  engine: Engine,
  question: string,
): AsyncGenerator<ChatCompletionMessageParam> {
  const messages: ChatCompletionMessageParam[] = [{ role: "user", content: question }];
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const { choices } = await engine.chat.completions.create({
      messages,
      tools,
      temperature: 0,
      max_tokens: 128,
    });
    const [{ message }] = choices as [(typeof choices)[0]];
    messages.push(message);
    yield message;
    if (!message.tool_calls?.length) return;
    for (const call of message.tool_calls) {
      if (call.type !== "function") continue;
      const content = await runTool(call.function.name, call.function.arguments);
      const result = { role: "tool" as const, tool_call_id: call.id, content };
      messages.push(result);
      yield result;
    }
  }
  throw new Error(`No answer after ${MOST_ROUNDS} rounds of calls`);
}
