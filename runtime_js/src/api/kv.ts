/** Prefixes kept between visits. */
import { InvalidRequestError } from "../errors.js";
import type { SavedPrefix } from "../store/kv_store.js";
import type { Calls } from "../worker/client.js";
import { type Prompt, parsePrompt } from "./prompt.js";

/** Longer names are likelier to be a text by mistake. */
const MAX_NAME = 256;

/**
 * Keeps what the model has computed of a prompt in this browser's storage, so that a later visit need not compute it again:
 * a long system prompt, a document, a conversation so far.
 *
 * @example
 * const messages = [{ role: "system", content: handbook }];
 * (await engine.kv.restore("handbook")) ?? (await engine.kv.save("handbook", messages));
 * // Requests that begin with these messages now start at once: usage.prompt_tokens_details.cached_tokens tells.
 * @example
 * // Tools and the template's variables are part of a prompt: of requests that have them.
 * await engine.kv.save("agent", { messages, tools, webbuild: { template: { enable_thinking: false } } });
 */
export class SavedPrompts {
  constructor(private readonly call: Calls) {}

  /**
   * Computes a prompt, as far as it is not cached, and saves it in place of an earlier one of that name. Later requests profit
   * as far as their prompts begin with the same tokens.
   *
   * @param name of your choice, for each pack URL
   * @param prompt messages, alone or with what else of a chat its prompt depends on; a text, as `startGenerate` takes it (those of
   *   `completions.create` begin with what the tokenizer puts before one); or token ids
   * @returns how many tokens were saved, in how many bytes
   * @throws InvalidRequestError, ToolsUnsupported, TemplateError, ContextLengthExceeded · StorageError when the browser's storage is full or
   *   missing · OutOfMemory when other requests leave no room, or `prefixCache.tokens` does · AbortError, DeviceLostError
   */
  async save(
    name: string,
    prompt: Prompt,
    { signal }: { signal?: AbortSignal } = {},
  ): Promise<SavedPrefix> {
    return this.call.savePrefix({ name: checked(name), prompt: parsePrompt(prompt) }, { signal });
  }

  /**
   * Puts a saved prompt into the prefix cache, where requests find it.
   *
   * @returns how many tokens are cached now; null when nothing is saved under that name
   * @throws StaleKvFile when it was saved with another version of the pack, another tier or another version of this package;
   *   InvalidKvFile when it is damaged. Requests then compute the prompt, as they would without it; save it again.
   * @throws StorageError when there is no storage · DeviceLostError
   */
  async restore(name: string): Promise<SavedPrefix | null> {
    return this.call.restorePrefix(checked(name));
  }

  /** What is saved of this pack. @throws StorageError when there is no storage */
  async list(): Promise<SavedPrefix[]> {
    return this.call.listPrefixes(null);
  }

  /** Deletes what is saved under that name, if there is anything. @throws StorageError when there is no storage */
  async delete(name: string): Promise<void> {
    await this.call.deletePrefix(checked(name));
  }
}

function checked(name: unknown): string {
  if (typeof name === "string" && name.length > 0 && name.length <= MAX_NAME) return name;
  throw new InvalidRequestError(`name must be a text of 1 to ${MAX_NAME} characters`, {
    param: "name",
  });
}
