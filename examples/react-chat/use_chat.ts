import { useEffect, useRef, useState } from "react";
import { type ChatCompletionMessageParam, Engine } from "webbuild";

/** A conversation that streams: what has been said, whether an answer is under way, what went wrong, and what can be done. */
export function useChat(pack: string) {
  const engine = useRef<Promise<Engine>>(undefined);
  const [messages, setMessages] = useState<ChatCompletionMessageParam[]>([]);
  const [answering, setAnswering] = useState<AbortController>();
  const [problem, setProblem] = useState("");

  // With the component its engine goes, and the memory that it holds.
  useEffect(
    () => () => {
      engine.current?.then((loaded) => loaded.unload()).catch(() => {});
      engine.current = undefined;
    },
    [],
  );

  function load(): Promise<Engine> {
    const loading = Engine.load(pack);
    loading.catch(() => {
      engine.current = undefined; // the next question tries again
    });
    return loading;
  }

  async function ask(content: string) {
    const asked = [...messages, { role: "user" as const, content }];
    const controller = new AbortController();
    setMessages(asked);
    setAnswering(controller);
    setProblem("");
    try {
      engine.current ??= load();
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
      if (!controller.signal.aborted) setProblem(String(error)); // what has come stays
    } finally {
      setAnswering(undefined);
    }
  }

  const stop = () => answering?.abort();
  return { messages, answering: answering !== undefined, problem, ask, stop };
}
