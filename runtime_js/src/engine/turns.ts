/** The turns of a conversation: which of them a context that is too short for all of them keeps. */
import type { TemplateMessage } from "../text/chat_template.js";

/** The system messages that a conversation begins with, and its turns: each but the first begins with a user's message. */
export interface Conversation {
  head: TemplateMessage[];
  turns: TemplateMessage[][];
}

export function turnsOf(messages: readonly TemplateMessage[]): Conversation {
  let first = messages.findIndex(({ role }) => role !== "system");
  if (first < 0) first = messages.length;
  const turns: TemplateMessage[][] = [];
  for (const message of messages.slice(first)) {
    const turn = turns.at(-1);
    if (turn && message.role !== "user") turn.push(message);
    else turns.push([message]);
  }
  return { head: messages.slice(0, first), turns };
}

/**
 * How many of the oldest turns to drop, so that the prompt has at most `limit` tokens: whole strides of them, so that a
 * conversation that grows begins alike for several requests and the prefix cache has that beginning. The last turn is never
 * dropped, so the result may still be too long.
 *
 * @param tokens of the prompt without so many of its oldest turns; never more for more
 */
export function turnsToDrop(
  turns: number,
  tokens: (dropped: number) => number,
  { limit, stride }: { limit: number; stride: number },
): number {
  const all = tokens(0);
  if (all <= limit) return 0;
  const most = all - Math.ceil((all - limit) / stride) * stride;
  let enough = Math.max(0, turns - 1);
  for (let low = 1; low < enough; ) {
    const middle = (low + enough) >> 1;
    if (tokens(middle) <= most) enough = middle;
    else low = middle + 1;
  }
  return enough;
}
