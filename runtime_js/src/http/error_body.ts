/** Errors as OpenAI's API tells them: a status, and `{error: {message, type, param, code}}`. */

/** The body of a refused request. */
export interface ErrorBody {
  error: { message: string; type: string; param: string | null; code: string | null };
}

interface Row {
  status: number;
  type: "invalid_request_error" | "server_error";
  code: string | null;
}

const bad = (code: string | null = null): Row => ({
  status: 400,
  type: "invalid_request_error",
  code,
});
const server = (status: number, code: string): Row => ({ status, type: "server_error", code });

/** What each class of error becomes; one that is not here becomes what its parent does. */
const ROWS: Record<string, Row> = {
  InvalidRequestError: bad(),
  ContextLengthExceeded: bad("context_length_exceeded"),
  ModelNotFound: { status: 404, type: "invalid_request_error", code: "model_not_found" },
  TemplateError: bad("template_error"),
  AbortError: { status: 499, type: "invalid_request_error", code: "request_cancelled" },
  OutOfMemory: server(503, "out_of_memory"),
  DeviceError: server(500, "device_error"),
  DeviceLostError: server(503, "device_lost"),
  WorkerFailed: server(503, "worker_failed"),
  EngineUnloaded: server(503, "engine_unloaded"),
  PeerLost: server(503, "engine_unreachable"),
  PeerTimeout: server(503, "engine_unreachable"),
  PeerUnknown: server(503, "engine_unreachable"),
};
const UNKNOWN = server(500, "internal_error");

/** An error that this endpoint itself answers with. */
export class HttpError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly code: string,
    readonly param: string | null = null,
  ) {
    super(message);
    this.name = "HttpError";
  }
}

/** @returns the status and the body that an error is told with */
export function errorBody(error: unknown): { status: number; body: ErrorBody } {
  if (error instanceof HttpError) {
    const { status, message, code, param } = error;
    const type = status < 500 ? "invalid_request_error" : "server_error";
    return { status, body: { error: { message, type, param, code } } };
  }
  const { status, type, code } = rowOf(error);
  const message = error instanceof Error ? error.message : String(error);
  return { status, body: { error: { message, type, param: paramOf(error), code } } };
}

/** By names, not by classes: the engine may come from another bundle of this package, which has classes of its own. */
function rowOf(error: unknown): Row {
  let of = (error as Error | undefined)?.constructor as { className?: string } | undefined;
  for (; of?.className !== undefined; of = Object.getPrototypeOf(of)) {
    const row = Object.hasOwn(ROWS, of.className) ? ROWS[of.className] : undefined;
    if (row) return row;
  }
  return UNKNOWN;
}

function paramOf(error: unknown): string | null {
  const param = (error as { data?: { param?: unknown } } | undefined)?.data?.param;
  return typeof param === "string" ? param : null;
}
