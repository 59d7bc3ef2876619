import { WebWorkerMLCEngineHandler } from "webbuild/compat/web-llm";

const handler = new WebWorkerMLCEngineHandler();
self.onmessage = (event: MessageEvent) => handler.onmessage(event);
