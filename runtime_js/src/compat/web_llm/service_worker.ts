/**
 * webbuild/compat/web-llm/service-worker: for the service worker's script of an app that is written for WebLLM. It is an entry of
 * its own, as service workers can't import on demand, and pages need nothing of it.
 */
import "../../worker/shared_worker.js";

/** Importing it is what serves engines; an instance of it is there for scripts that make one. */
export class ServiceWorkerMLCEngineHandler {
  /** Does nothing: messages that are meant for the engine reach it anyway. */
  onmessage(_: unknown): void {}
}
