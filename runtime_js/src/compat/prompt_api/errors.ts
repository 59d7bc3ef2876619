/** The exceptions that the Prompt API names, from this package's. */
import {
  AbortError,
  AdapterLimit,
  ContextLengthExceeded,
  GrammarError,
  NetworkError,
  NoWebGPU,
  OutOfMemory,
  TemplateError,
  ToolsUnsupported,
} from "../../index.js";

/** A DOMException of a name; `cause` is what it comes from. */
export function exception(name: string, message: string, cause?: unknown): DOMException {
  const error = new DOMException(message, name);
  if (cause !== undefined) Object.defineProperty(error, "cause", { value: cause });
  return error;
}

type Quota = new (message: string, options: { requested: number; quota: number }) => DOMException;

/** QuotaExceededError with `requested` and `quota` in tokens; the browser's own class where there is one. */
export function quotaExceeded(requested: number, quota: number, cause?: unknown): DOMException {
  const message = `the prompt has ${requested} tokens, and ${quota} are available`;
  const { QuotaExceededError } = globalThis as { QuotaExceededError?: Quota };
  if (QuotaExceededError) return new QuotaExceededError(message, { requested, quota });
  const error = exception("QuotaExceededError", message, cause);
  return Object.defineProperties(error, {
    requested: { value: requested },
    quota: { value: quota },
  });
}

/** What an error of the engine is to a caller of the Prompt API. @param other the name of what has none of its own */
export function toException(error: unknown, other = "UnknownError"): unknown {
  if (error instanceof DOMException || error instanceof TypeError || error instanceof RangeError)
    return error;
  const { message } = error as Error;
  if (error instanceof ContextLengthExceeded) {
    const { promptTokens, limit } = error.data as { promptTokens: number; limit: number };
    return quotaExceeded(promptTokens, limit, error);
  }
  return exception(nameOf(error) ?? other, message, error);
}

function nameOf(error: unknown): string | undefined {
  if (error instanceof AbortError) return "AbortError";
  if (error instanceof NetworkError) return "NetworkError";
  const unsupported = [
    NoWebGPU,
    AdapterLimit,
    OutOfMemory,
    TemplateError,
    GrammarError,
    ToolsUnsupported,
  ];
  return unsupported.some((kind) => error instanceof kind) ? "NotSupportedError" : undefined;
}
