/**
 * Measures a build of the package through nothing but its public API, and so any build, one without benchmarks too. The
 * prompt is text of as many tokens as wanted; times are the engine's own, without the tokenizer.
 */

import type { Engine, EngineOptions } from "../api/engine.js";
import type { ChatCompletionMessageParam } from "../api/types.js";
import { InvalidRequestError } from "../errors.js";
import type { Case, Generation, LoadReport } from "./types.js";

/** What is used of a build. */
export interface PublicBuild {
  Engine: {
    load(url: string, options: EngineOptions): Promise<Engine>;
  };
}

/** What is put together to a prompt: tokenizers differ in what is one token. */
const WORDS = [" a", " the", "a", "e", " ", "\n", ".", "0"];

export class PublicSubject {
  /** Prompts so far: no two begin alike, so that none is found in a build's prefix cache but for what its template begins with. */
  #prompts = 0;

  private constructor(
    private readonly engine: Engine,
    private readonly ends: readonly number[],
  ) {}

  /** @param packUrl absolute, with a trailing slash */
  static async load(
    build: PublicBuild,
    packUrl: string,
    options: EngineOptions,
  ): Promise<{ subject: PublicSubject; report: LoadReport }> {
    const began = performance.now();
    const engine = await build.Engine.load(packUrl, options);
    const total = performance.now() - began;
    const manifest = await readJson(`${packUrl}pack.json`);
    return {
      subject: new PublicSubject(engine, manifest.tokens.eos),
      report: { info: engine.info, parts: null, total, timestamps: false },
    };
  }

  async generate({ start, prompt, tokens }: Case): Promise<Generation> {
    if (start > 0) {
      throw new InvalidRequestError(
        "through the public API a context is reached by prefilling it: give it as a prompt",
        { param: "start" },
      );
    }
    const content = await this.#contentOf(prompt, `${++this.#prompts} `);
    const answer = await this.engine.chat.completions.create({
      messages: [{ role: "user", content }],
      max_tokens: tokens,
      temperature: 0,
      logit_bias: Object.fromEntries(this.ends.map((id) => [String(id), -100])),
    });
    const stats = await this.engine.stats();
    const { prompt_tokens, completion_tokens } = answer.usage as {
      prompt_tokens: number;
      completion_tokens: number;
    };
    return {
      promptTokens: prompt_tokens,
      completionTokens: completion_tokens,
      // As if all of it had been computed: what was cached is not in the rate.
      prefill: (prompt_tokens * 1000) / stats.prefillTokensPerSecond,
      decode: ((completion_tokens - 1) * 1000) / stats.decodeTokensPerSecond,
      detail: null,
    };
  }

  async close(): Promise<void> {
    await this.engine.unload();
  }

  /**
   * Text that makes a prompt of exactly `wanted` tokens.
   *
   * @param beginning of it, if that fits
   * @throws InvalidRequestError when the template alone has more
   */
  async #contentOf(wanted: number, beginning: string): Promise<string> {
    const count = (content: string) => {
      const messages: ChatCompletionMessageParam[] = [{ role: "user", content }];
      return this.engine.countTokens(messages);
    };
    const least = await count("");
    if (least > wanted) {
      throw new InvalidRequestError(`the chat template alone has ${least} tokens`, {
        param: "prompt",
      });
    }
    for (const begin of [beginning, ""]) {
      for (const word of WORDS) {
        let content = begin;
        let tokens = await count(content);
        while (tokens < wanted) {
          const longer = content + word.repeat(wanted - tokens);
          const now = await count(longer);
          if (now <= tokens || now > wanted) break;
          content = longer;
          tokens = now;
        }
        if (tokens === wanted) return content;
      }
    }
    throw new InvalidRequestError(`no text makes a prompt of exactly ${wanted} tokens`, {
      param: "prompt",
    });
  }
}

async function readJson(url: string): Promise<{ tokens: { eos: number[] } }> {
  if (!url.startsWith("file:")) return (await fetch(url)).json();
  const fs = process.getBuiltinModule("node:fs");
  return JSON.parse(await fs.promises.readFile(new URL(url), "utf8"));
}
