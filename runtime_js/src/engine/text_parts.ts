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

/**
 * Sampling settings of requests that name none: the pack's generation_config.json, if it has one. `do_sample: false` means greedy; one that
 * does not name it leaves that open, as servers take it: many are written by programs that know only the end tokens.
 */
export async function readDefaults(
  source: PackSource,
  manifest: PackManifest,
): Promise<SamplingDefaults> {
  if (fileOf(manifest, "generation_config") === undefined) return {};
  const given = await readJson(source, manifest, "generation_config");
  const { do_sample, ...own } = given as SamplingDefaults & { do_sample?: unknown };
  return do_sample === false ? { ...own, temperature: 0 } : own;
}

/** @param defaults of {@link readDefaults} */
export async function readText(
  source: PackSource,
  manifest: PackManifest,
  defaults: SamplingDefaults,
): Promise<TextParts> {
  const [tokenizer, config, template] = await Promise.all([
    readJson(source, manifest, "tokenizer"),
    readJson(source, manifest, "tokenizer_config"),
    read(source, manifest, "chat_template"),
  ]);
  return {
    tokenizer: new Tokenizer(tokenizer, config),
    template: makeTemplate(template, config as TokenizerConfig),
    defaults,
  };
}

async function read(
  source: PackSource,
  manifest: PackManifest,
  role: FileRole,
): Promise<string | undefined> {
  const file = fileOf(manifest, role);
  return file && new TextDecoder().decode(await source.read(file));
}

/** {} for a file that the pack lacks. */
async function readJson(
  source: PackSource,
  manifest: PackManifest,
  role: FileRole,
): Promise<unknown> {
  const text = await read(source, manifest, role);
  return text === undefined ? {} : parseJson((fileOf(manifest, role) as PackFile).path, text);
}

function makeTemplate(source: string | undefined, config: TokenizerConfig): ChatTemplate | Error {
  try {
    return new ChatTemplate(source, config);
  } catch (error) {
    return error as Error;
  }
}
