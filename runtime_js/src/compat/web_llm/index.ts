/** webbuild/compat/web-llm: WebLLM's public names over this package, for code that is written for them. */
export {
  deleteChatConfigInCache,
  deleteModelAllInfoInCache,
  deleteModelInCache,
  deleteModelWasmInCache,
  hasModelInCache,
} from "./cache.js";
export {
  type AppConfig,
  type ChatOptions,
  functionCallingModelIds,
  type ModelRecord,
  ModelType,
  modelLibURLPrefix,
  modelVersion,
  prebuiltAppConfig,
} from "./config.js";
export { CreateMLCEngine, MLCEngine } from "./engine.js";
export {
  CreateServiceWorkerMLCEngine,
  CreateWebWorkerMLCEngine,
  type Hosting,
  ServiceWorkerMLCEngine,
  WebWorkerMLCEngine,
  WebWorkerMLCEngineHandler,
} from "./hosted.js";
export type * from "./types.js";
