/** webbuild/http: OpenAI's HTTP API over engines of this page, as a function of `fetch`'s shape or behind a service worker. */
export { ServiceWorkerFailed } from "../errors.js";
export type { Answers, Engines, Model, Resource } from "./engines.js";
export type { ErrorBody } from "./error_body.js";
export {
  type AnswerMessage,
  type AskMessage,
  type MessageChannelLike,
  serveRequests,
  type WireRequest,
} from "./exchange.js";
export { createFetch, type Fetch, type FetchOptions } from "./fetch.js";
export { type ServedV1, type ServeV1Options, serveV1 } from "./serve_v1.js";
