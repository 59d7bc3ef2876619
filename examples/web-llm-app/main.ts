// Written for WebLLM; what is changed is where it imports from, and the model's record. The part after # in the address names a demo.
import * as webllm from "webbuild/compat/web-llm";

const model = "demo";
const appConfig: webllm.AppConfig = { model_list: [{ model: "/packs/demo/", model_id: model }] };
const initProgressCallback = ({ text }: webllm.InitProgressReport) => set("progress", text);
const system = { role: "system" as const, content: "You are a helpful assistant." };

const set = (id: string, text: string) => {
  (document.getElementById(id) as HTMLElement).textContent = text;
};

const demos: Record<string, () => Promise<unknown>> = {
  async "get-started"() {
    const options = { context_window_size: 2048, temperature: 0 };
    const engine: webllm.MLCEngineInterface = await webllm.CreateMLCEngine(
      model,
      { appConfig, initProgressCallback, logLevel: "INFO" },
      options,
    );
    const { choices, usage } = await engine.chat.completions.create({
      messages: [{ role: "user", content: "What is the sky?" }],
      n: 2,
      max_tokens: 16,
      logit_bias: { "5": -100 },
      logprobs: true,
      top_logprobs: 2,
    });
    return { choices, usage };
  },

  async streaming() {
    const engine = await webllm.CreateMLCEngine(model, { appConfig, initProgressCallback });
    return stream(engine);
  },

  async "web-worker"() {
    const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    const engine = await webllm.CreateWebWorkerMLCEngine(worker, model, {
      appConfig,
      initProgressCallback,
    });
    const streamed = await stream(engine);
    const refused = await engine.chat.completions
      .create({ messages: [] })
      .catch(({ name }: Error) => name);
    await engine.unload();
    await engine.reload(model); // in the same worker
    return { ...streamed, refused, again: await stream(engine) };
  },

  async "service-worker"() {
    await navigator.serviceWorker.register(new URL("./sw.js", import.meta.url), { type: "module" });
    const engine = await webllm.CreateServiceWorkerMLCEngine(model, {
      appConfig,
      initProgressCallback,
    });
    return stream(engine);
  },

  async "multi-round"() {
    const engine = await webllm.CreateMLCEngine(model, { appConfig });
    const messages: webllm.ChatCompletionMessageParam[] = [
      system,
      { role: "user", content: "What is the sky?" },
    ];
    const request = { messages, max_tokens: 32, temperature: 0 };
    const first = await engine.chat.completions.create(request);
    messages.push({ role: "assistant", content: await engine.getMessage() });
    messages.push({ role: "user", content: "And the sea?" });
    const second = await engine.chat.completions.create(request);
    return { first: first.usage, second: second.usage };
  },

  async abort() {
    const engine = new webllm.MLCEngine({ appConfig, initProgressCallback });
    const reloading = engine.reload(model);
    await engine.unload();
    await reloading;
    await engine.reload(model);
    const chunks = await engine.chat.completions.create({
      messages: [system, { role: "user", content: "Tell me a story." }],
      ignore_eos: true,
      stream: true,
    });
    const reasons = [];
    for await (const { choices } of chunks) {
      reasons.push(choices[0]?.finish_reason);
      if (choices[0]?.delta.content) engine.interruptGenerate();
    }
    const next = await stream(engine);
    return { reason: reasons.at(-1), next };
  },

  async cache() {
    const has = () => webllm.hasModelInCache(model, appConfig);
    const before = await has();
    const engine = await webllm.CreateMLCEngine(model, { appConfig });
    const loaded = await has();
    await engine.unload();
    await webllm.deleteModelAllInfoInCache(model, appConfig);
    return { before, loaded, deleted: await has() };
  },
};

async function stream(engine: webllm.MLCEngineInterface) {
  const request: webllm.ChatCompletionRequestStreaming = {
    stream: true,
    stream_options: { include_usage: true },
    messages: [system, { role: "user", content: "What is the sky?" }],
    max_tokens: 24,
    temperature: 0,
  };
  let [text, tokens] = ["", 0];
  for await (const chunk of await engine.chat.completions.create(request)) {
    text += chunk.choices[0]?.delta?.content || "";
    set("answer", text);
    if (chunk.usage) tokens = chunk.usage.completion_tokens;
  }
  return { text, tokens, message: await engine.getMessage() };
}

const demo = demos[location.hash.slice(1)] ?? demos["streaming"];
demo?.().then(
  (result) => set("result", JSON.stringify(result, null, 2)),
  (error) => set("result", JSON.stringify({ error: String(error) })),
);
