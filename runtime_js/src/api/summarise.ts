/** A page's own way to shorten a conversation that does not fit. */
import { type ContextLengthExceeded, rejectOnAbort } from "../errors.js";
import type { TemplateMessage } from "../text/chat_template.js";
import { parseMessages } from "./messages.js";
import type { ChatCompletionMessageParam, Summarise } from "./types.js";

/**
 * Asks the page for messages in place of those that were refused.
 *
 * @throws AbortError, without waiting for the page · InvalidRequestError when its answer is no conversation · whatever it throws
 */
export async function summarised(
  summarise: Summarise,
  messages: ChatCompletionMessageParam[],
  { data }: ContextLengthExceeded,
  signal: AbortSignal = new AbortController().signal,
): Promise<TemplateMessage[]> {
  const { promptTokens, limit, contextLength } = data as Record<string, number>;
  const about = { tokens: promptTokens, limit, contextLength, signal } as Parameters<Summarise>[1];
  const aborted = rejectOnAbort(signal);
  try {
    const asked = Promise.resolve([...messages]).then((copy) => summarise(copy, about));
    return parseMessages(
      await Promise.race([asked, aborted.promise]),
      "webbuild.context.overflow()",
    );
  } finally {
    aborted.dispose();
  }
}
