import { ServiceWorkerMLCEngineHandler } from "webbuild/compat/web-llm/service-worker";

self.addEventListener("activate", () => new ServiceWorkerMLCEngineHandler());
