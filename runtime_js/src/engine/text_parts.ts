/** The text side of a pack: tokenizer, chat template, sampling defaults. */
import type { PackFile, PackManifest } from "../generated/pack.js";
import { parseJson } from "../program/json.js";
import { type FileRole, fileOf } from "../program/manifest.js";
import type { PackSource } from "../store/pack_source.js";
import { ChatTemplate, type TokenizerConfig } from "../text/chat_template.js";
import { Tokenizer } from "../text/tokenizer.js";
import type { SamplingDefaults } from "./sampling.js";

/** What turns messages into tokens and tokens into text. */
export interface TextParts {
  tokenizer: Tokenizer;
  /** Absent for models without one; a chat request then fails by name. */
  template: ChatTemplate | Error;
  defaults: SamplingDefaults;
}

export async function readText(source: PackSource, manifest: PackManifest): Promise<TextParts> {
  const read = async (role: FileRole): Promise<string | undefined> => {
    const file = fileOf(manifest, role);
    return file && new TextDecoder().decode(await source.read(file));
  };
  const json = async (role: FileRole): Promise<unknown> => {
    const text = await read(role);
    return text === undefined ? {} : parseJson((fileOf(manifest, role) as PackFile).path, text);
  };
  const [tokenizer, config, template, generation] = await Promise.all([
    json("tokenizer"),
    json("tokenizer_config"),
    read("chat_template"),
    json("generation_config"),
  ]);
  return {
    tokenizer: new Tokenizer(tokenizer, config),
    template: makeTemplate(template, config as TokenizerConfig),
    defaults: generation as SamplingDefaults,
  };
}

function makeTemplate(source: string | undefined, config: TokenizerConfig): ChatTemplate | Error {
  try {
    return new ChatTemplate(source, config);
  } catch (error) {
    return error as Error;
  }
}
