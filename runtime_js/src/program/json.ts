/** From bytes to a checked record: JSON syntax, format version, structure. */
import { InvalidPack, UnsupportedFormatVersion } from "../errors.js";
import type { Validator } from "../generated/validate.js";

/**
 * Parses and validates one JSON file of a pack.
 *
 * @param version the format version this package reads; undefined for files without one
 * @throws InvalidPack, UnsupportedFormatVersion
 */
export function readJson<T>(
  file: string,
  bytes: Uint8Array | string,
  validate: Validator<T>,
  version?: number,
): T {
  const data = parseJson(file, bytes);
  if (version !== undefined) checkVersion(file, data, version);
  checkForm(file, data, validate);
  return data;
}

/**
 * @param at JSON pointer to `data` in the file
 * @throws InvalidPack
 */
export function checkForm<T>(
  file: string,
  data: unknown,
  validate: Validator<T>,
  at = "",
): asserts data is T {
  if (validate(data)) return;
  const first = validate.errors?.[0];
  const path = `${at}${first?.instancePath ?? ""}`;
  const where = path || "the top level";
  throw new InvalidPack(
    `${file}: ${where} ${first?.message ?? "is invalid"}; pack the model again`,
    {
      file,
      path,
      rule: first?.keyword,
    },
  );
}

/** Parses JSON text (UTF-8). @throws InvalidPack */
export function parseJson(file: string, bytes: Uint8Array | string): unknown {
  let text = "";
  try {
    text =
      typeof bytes === "string" ? bytes : new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return JSON.parse(text);
  } catch (cause) {
    // Servers of apps answer with their page where there is no file.
    const page = /^\s*</.test(text) ? ": it is a web page; is the pack's URL right?" : "";
    throw new InvalidPack(`${file} is not valid JSON${page}`, { file }, { cause });
  }
}

function checkVersion(file: string, data: unknown, version: number): void {
  const found = (data as { format_version?: unknown } | null)?.format_version;
  if (typeof found === "number" && found !== version) {
    const advice = found > version ? "update the webbuild npm package" : "pack the model again";
    throw new UnsupportedFormatVersion(
      `${file} has format version ${found}, this package reads ${version}: ${advice}`,
      { file, found, supported: version },
    );
  }
}
