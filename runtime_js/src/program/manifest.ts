/** pack.json: reading and checking what its schema can't say. */
import { InvalidPack } from "../errors.js";
import type { PackFile, PackManifest } from "../generated/pack.js";
import { isPackManifest } from "../generated/validate.js";
import { readJson } from "./json.js";

export type FileRole = PackFile["role"];

/** Roles that a pack must have exactly once. */
const REQUIRED: FileRole[] = [
  "program",
  "kernels",
  "tensor_cache",
  "tokenizer",
  "tokenizer_config",
];

/** Roles that a pack has at most once. */
const OPTIONAL: FileRole[] = ["chat_template", "generation_config"];

/** @throws InvalidPack, UnsupportedFormatVersion */
export function readManifest(bytes: Uint8Array | string): PackManifest {
  const manifest = readJson("pack.json", bytes, isPackManifest, 3);
  const fail = (what: string) => {
    throw new InvalidPack(`pack.json: ${what}; pack the model again`, { file: "pack.json" });
  };
  const paths = new Set(manifest.files.map((f) => f.path));
  if (paths.size !== manifest.files.length) fail("a file is listed twice");
  if (paths.has(".") || paths.has("..") || paths.has("pack.json"))
    fail("a file has a reserved name");
  const count = (role: FileRole) => manifest.files.filter((f) => f.role === role).length;
  for (const role of REQUIRED) {
    if (count(role) !== 1) fail(`needs exactly one ${role} file, has ${count(role)}`);
  }
  for (const role of OPTIONAL) {
    if (count(role) > 1) fail(`has ${count(role)} ${role} files`);
  }
  if (count("weights") === 0) fail("has no weights");
  const { context_length, default_context_length } = manifest.limits;
  if (default_context_length > context_length)
    fail("default_context_length exceeds context_length");
  if (manifest.embedding && context_length > manifest.limits.prefill_chunk)
    fail("a text of context_length tokens does not fit a step");
  if (Object.keys(manifest.memory).length === 0) fail("predicts memory for no tier");
  return manifest;
}

/** The one file of a role, or undefined. */
export function fileOf(manifest: PackManifest, role: FileRole): PackFile | undefined {
  return manifest.files.find((f) => f.role === role);
}

/** Bytes of all files, weights included. */
export function packBytes(manifest: PackManifest): number {
  return manifest.files.reduce((sum, f) => sum + f.nbytes, 0);
}
