import { useRef, useState } from "react";
import { type ChatCompletionMessageParam, Engine } from "webbuild";

/** A conversation that streams: what has been said, whether an answer is under way, and what can be done. */
export function useChat(pack: string) {
  const engine = useRef<Promise<Engine>>(undefined);
  const [messages, setMessages] = useState<ChatCompletionMessageParam[]>([]);
  const [answering, setAnswering] = useState<AbortController>();

  async function ask(content: string) {
    const asked = [...messages, { role: "user" as const, content }];
    const controller = new AbortController();
    setMessages(asked);
    setAnswering(controller);
    try {
      engine.current ??= Engine.load(pack);
      const { chat } = await engine.current;
      const stream = await chat.completions.create(
        { messages: asked, max_tokens: 64, stream: true },
        { signal: controller.signal },
      );
      let answer = "";
      for await (const { choices } of stream) {
        answer += choices[0]?.delta.content ?? "";
        setMessages([...asked, { role: "assistant", content: answer }]);
      }
    } catch (error) {
      if (!controller.signal.aborted) throw error; // what has come stays
    } finally {
      setAnswering(undefined);
    }
  }

  return { messages, answering: answering !== undefined, ask, stop: () => answering?.abort() };
}
