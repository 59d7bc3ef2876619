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

/** What an error of the engine is to a caller of the Prompt API. */
export function toException(error: unknown): unknown {
  if (error instanceof DOMException || error instanceof TypeError || error instanceof RangeError)
    return error;
  const { message } = error as Error;
  if (error instanceof ContextLengthExceeded) {
    const { promptTokens, limit } = error.data as { promptTokens: number; limit: number };
    return quotaExceeded(promptTokens, limit, error);
  }
  const name =
    error instanceof AbortError
      ? "AbortError"
      : error instanceof NetworkError
        ? "NetworkError"
        : error instanceof NoWebGPU || error instanceof AdapterLimit || error instanceof OutOfMemory
          ? "NotSupportedError"
          : error instanceof TemplateError || error instanceof GrammarError
            ? "NotSupportedError"
            : "OperationError";
  return exception(name, message, error);
}
