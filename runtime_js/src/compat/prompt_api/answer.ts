/** One answer of the model, as a stream told as it comes, and whole. */
import type {
  ChatCompletionCreateParams,
  CompletionUsage,
  Engine,
  FinishReason,
  ToolCall,
} from "../../index.js";
import type { Calls, Message } from "./messages.js";

export interface Answer {
  message: (Message & { tool_calls?: never }) | Calls;
  reason: FinishReason | null;
  usage: CompletionUsage | undefined;
}

/** @param tell is given pieces of the text @throws what `chat.completions.create` throws */
export async function answer(
  engine: Engine,
  request: Omit<ChatCompletionCreateParams, "stream">,
  signal: AbortSignal,
  tell: (text: string) => void,
): Promise<Answer> {
  const stream = await engine.chat.completions.create(
    { ...request, stream: true, stream_options: { include_usage: true } },
    { signal },
  );
  let content = "";
  let thought = "";
  let reason: FinishReason | null = null;
  let usage: CompletionUsage | undefined;
  const calls: ToolCall[] = [];
  for await (const chunk of stream) {
    usage = chunk.usage ?? usage;
    const [choice] = chunk.choices;
    if (!choice) continue;
    reason = choice.finish_reason ?? reason;
    const { content: text = "", reasoning_content = "", tool_calls = [] } = choice.delta;
    thought += reasoning_content;
    content += text;
    if (text !== "") tell(text);
    for (const { index, id, function: fn } of tool_calls) {
      const call = calls[index];
      if (call) call.function.arguments += fn.arguments;
      else {
        const { name = "", arguments: begun } = fn;
        calls[index] = { id: id ?? "", type: "function", function: { name, arguments: begun } };
      }
    }
  }
  if (calls.length === 0) return { message: { role: "assistant", content }, reason, usage };
  // Templates of models that think show them again what they thought before a call.
  const thinking = thought === "" ? {} : { reasoning_content: thought };
  const said = { role: "assistant" as const, content: content === "" ? null : content };
  return { message: { ...said, ...thinking, tool_calls: calls }, reason, usage };
}
