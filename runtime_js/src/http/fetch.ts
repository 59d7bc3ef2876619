/** OpenAI's HTTP API as a function of `fetch`'s shape, over engines of this page. */
import { type Answers, type Engines, ModelTable, type Resource } from "./engines.js";
import { errorBody, HttpError } from "./error_body.js";
import { eventStream } from "./sse.js";

export interface FetchOptions {
  /** Where the API is, below the origin; any origin will do. Default `/v1`. */
  path?: string | undefined;
  /** What requests must bring as `Authorization: Bearer …`. Default: nothing is asked for. */
  apiKey?: string | undefined;
  /** A name of a model that is not here means the first engine. Default false: 404, `model_not_found`. */
  anyModel?: boolean | undefined;
  /** The largest body of a request; a larger one is a 413. Default 16 MiB. */
  maxBodyBytes?: number | undefined;
}

/** A status, and headers. */
export interface Head {
  status: number;
  headers: [string, string][];
}

/**
 * `fetch`, but for this API alone.
 *
 * @param onAccepted gets the head of an answer that is not streamed once the engine works on it; only if the engine then fails it is another
 */
export type Fetch = (
  input: RequestInfo | URL,
  init?: RequestInit,
  onAccepted?: (head: Head) => void,
) => Promise<Response>;

const MAX_BODY = 16 << 20;
const REQUEST_ID = "x-request-id";
const JSON_HEAD = [["content-type", "application/json"]];

interface Route {
  of(engine: Answers): Resource | undefined;
  /** Its events have names. */
  named?: boolean;
}

/** What answers a `POST` to a path. */
const ROUTES: Record<string, Route> = {
  "/chat/completions": { of: ({ chat }) => chat.completions },
  "/completions": { of: ({ completions }) => completions },
  "/embeddings": { of: ({ embeddings }) => embeddings },
  "/responses": { of: ({ responses }) => responses, named: true },
};

/**
 * Answers `POST …/chat/completions`, `/completions`, `/embeddings` and `/responses`, as far as the engine has them, and
 * `GET …/models` as OpenAI's API does: JSON or server-sent events, and refusals as statuses with OpenAI's bodies. It rejects only as `fetch`
 * does, with the reason of a signal that was aborted. That signal, and cancelling the body, end the generation.
 *
 * @example
 * const client = new OpenAI({ baseURL: "http://page/v1", apiKey: "none", dangerouslyAllowBrowser: true, fetch: createFetch(engine) });
 * @param engines one, which requests may call by its model's name, or several by names
 */
export function createFetch(engines: Engines, options: FetchOptions = {}): Fetch {
  const { apiKey, anyModel = false, maxBodyBytes = MAX_BODY } = options;
  const base = `/${options.path ?? "v1"}`.replace(/^\/+/, "/").replace(/\/+$/, "");
  const models = new ModelTable(engines, anyModel);

  const route = async (
    request: Request,
    signal: AbortSignal | null | undefined,
    onAccepted: () => void,
  ) => {
    if (apiKey !== undefined) authorise(request, apiKey);
    const path = pathBelow(base, new URL(request.url).pathname);
    if (path === "/models") {
      expectMethod(request, "GET");
      return Response.json({ object: "list", data: models.list() });
    }
    if (path?.startsWith("/models/")) {
      expectMethod(request, "GET");
      return Response.json(models.model(decoded(path.slice("/models/".length))));
    }
    const found = path !== undefined && Object.hasOwn(ROUTES, path) ? ROUTES[path] : undefined;
    if (!found) throw unknownPath(request);
    expectMethod(request, "POST");
    const params = await readParams(request, maxBodyBytes);
    const resource = found.of(models.engine(params["model"]));
    if (!resource) throw unknownPath(request, "this engine does not answer it");
    return answer(resource, params, found.named ?? false, signal, onAccepted);
  };

  return async (input, init, onAccepted) => {
    const request = toRequest(input, init);
    // Not `request.signal`: it follows this one only while somebody holds the request, in Node.
    const signal = init?.signal ?? (input instanceof Request ? input.signal : undefined);
    signal?.throwIfAborted();
    const id = `req_${crypto.randomUUID().replaceAll("-", "")}`;
    const head = { status: 200, headers: [...JSON_HEAD, [REQUEST_ID, id]] } as Head;
    let response: Response;
    try {
      response = await route(request, signal, () => onAccepted?.(head));
    } catch (error) {
      signal?.throwIfAborted();
      const { status, body } = errorBody(error);
      response = Response.json(body, { status });
    }
    response.headers.set(REQUEST_ID, id);
    return response;
  };
}

async function answer(
  resource: Resource,
  params: Record<string, unknown>,
  named: boolean,
  signal: AbortSignal | null | undefined,
  onAccepted: () => void,
): Promise<Response> {
  const work = new AbortController();
  const onAbort = () => work.abort(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    const result = await resource.create(params as never, { signal: work.signal, onAccepted });
    signal?.throwIfAborted();
    if (!isStream(result)) return Response.json(result);
    const body = eventStream(result, { named }, () => work.abort(), signal);
    return new Response(body, {
      headers: { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache" },
    });
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}

const isStream = (result: unknown): result is AsyncIterable<unknown> =>
  typeof result === "object" && result !== null && Symbol.asyncIterator in result;

/** Relative URLs need a page to be relative to; here only their path counts. */
function toRequest(input: RequestInfo | URL, init: RequestInit | undefined): Request {
  if (input instanceof Request) return new Request(input, init);
  return new Request(new URL(input, "http://localhost"), init);
}

function pathBelow(base: string, pathname: string): string | undefined {
  if (!pathname.startsWith(`${base}/`)) return undefined;
  return pathname.slice(base.length).replace(/\/$/, "");
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function authorise({ headers }: Request, apiKey: string): void {
  if (headers.get("authorization") === `Bearer ${apiKey}`) return;
  throw new HttpError(401, "give the API key as Authorization: Bearer KEY", "invalid_api_key");
}

function expectMethod({ method, url }: Request, expected: string): void {
  if (method === expected) return;
  const { pathname } = new URL(url);
  throw new HttpError(405, `${pathname} takes ${expected}, not ${method}`, "method_not_supported");
}

function unknownPath({ method, url }: Request, why = "there is no such endpoint"): HttpError {
  return new HttpError(404, `${method} ${new URL(url).pathname}: ${why}`, "unknown_url");
}

/** The parameters in a request's body. @throws HttpError (400, 413) */
async function readParams(request: Request, limit: number): Promise<Record<string, unknown>> {
  const body = await request.arrayBuffer();
  if (body.byteLength > limit) {
    throw new HttpError(
      413,
      `the body has ${body.byteLength} bytes; at most ${limit} are read`,
      "request_too_large",
    );
  }
  let params: unknown;
  try {
    params = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch (error) {
    throw new HttpError(400, `the body is no JSON: ${(error as Error).message}`, "invalid_json");
  }
  if (typeof params !== "object" || params === null || Array.isArray(params)) {
    throw new HttpError(400, "the body must be a JSON object", "invalid_json");
  }
  return params as Record<string, unknown>;
}
