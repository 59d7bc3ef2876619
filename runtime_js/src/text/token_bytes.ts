/**
 * The bytes each token stands for, from tokenizer.json's decoder. Bytes, not strings: a token may end in the middle of a
 * character, and only a byte table lets a stream be cut anywhere.
 */
import { TokenizerError } from "../errors.js";

interface DecoderConfig {
  type: string;
  decoders?: DecoderConfig[];
  pattern?: { String?: string };
  content?: string;
  start?: number;
  stop?: number;
  replacement?: string;
}

export interface AddedToken {
  id: number;
  content: string;
  special: boolean;
}

export interface TokenizerJson {
  decoder: DecoderConfig | null;
  added_tokens: AddedToken[];
}

/** GPT-2's printable stand-ins: the 188 printable Latin-1 bytes are themselves, the rest are U+0100 onward in order. */
function byteLevelAlphabet(): Map<string, number> {
  const alphabet = new Map<string, number>();
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const printable =
      (byte >= 0x21 && byte <= 0x7e) ||
      (byte >= 0xa1 && byte <= 0xac) ||
      (byte >= 0xae && byte <= 0xff);
    alphabet.set(String.fromCodePoint(printable ? byte : next++), byte);
  }
  return alphabet;
}

export class TokenBytes {
  readonly #added: Map<number, AddedToken>;
  readonly #toBytes: (token: string) => Uint8Array;
  /** Spaces at the start of a text that the decoder drops. */
  readonly leadingSpaces: number;

  /**
   * @param tokenOf the vocabulary: token string of an id
   * @throws TokenizerError for a decoder that no language model here uses
   */
  constructor(
    json: TokenizerJson,
    private readonly tokenOf: (id: number) => string | undefined,
  ) {
    this.#added = new Map(json.added_tokens.map((t) => [t.id, t]));
    const steps =
      json.decoder?.type === "Sequence" ? (json.decoder.decoders ?? []) : [json.decoder];
    const { toBytes, leadingSpaces } = compileDecoder(steps);
    this.#toBytes = toBytes;
    this.leadingSpaces = leadingSpaces;
  }

  /** Tokens beside the vocabulary: control tokens, and others that a text's tokens are never part of. */
  get added(): readonly AddedToken[] {
    return [...this.#added.values()];
  }

  /** Whether a token is a control token, which is never text. */
  isSpecial(id: number): boolean {
    return this.#added.get(id)?.special ?? false;
  }

  /** Bytes of a token, special or not; empty for an id outside the vocabulary (padding rows of the head). */
  of(id: number): Uint8Array {
    const added = this.#added.get(id);
    if (added) return encoder.encode(added.content);
    const token = this.tokenOf(id);
    return token === undefined ? new Uint8Array(0) : this.#toBytes(token);
  }
}

const encoder = new TextEncoder();

function compileDecoder(steps: (DecoderConfig | null)[]): {
  toBytes: (token: string) => Uint8Array;
  leadingSpaces: number;
} {
  let byteLevel = false;
  let byteFallback = false;
  let leadingSpaces = 0;
  const replacements: [string, string][] = [];
  for (const step of steps) {
    if (!step) continue;
    switch (step.type) {
      case "Fuse":
        break;
      case "ByteLevel":
        byteLevel = true;
        break;
      case "ByteFallback":
        byteFallback = true;
        break;
      case "Metaspace":
        replacements.push([step.replacement ?? "▁", " "]);
        leadingSpaces = 1;
        break;
      case "Replace":
        if (step.pattern?.String === undefined)
          throw unsupported("Replace with a regular expression");
        replacements.push([step.pattern.String, step.content ?? ""]);
        break;
      case "Strip":
        if (step.content !== " " || step.stop)
          throw unsupported("Strip other than of leading spaces");
        leadingSpaces = step.start ?? 0;
        break;
      default:
        throw unsupported(step.type);
    }
  }
  if (byteLevel) {
    const alphabet = byteLevelAlphabet();
    const toBytes = (token: string) =>
      Uint8Array.from([...token].map((c) => alphabet.get(c) ?? 0x3f));
    return { toBytes, leadingSpaces };
  }
  const toBytes = (token: string) => {
    const byte = byteFallback && /^<0x([0-9A-F]{2})>$/i.exec(token);
    if (byte) return Uint8Array.of(Number.parseInt(byte[1] as string, 16));
    return encoder.encode(replacements.reduce((t, [from, to]) => t.replaceAll(from, to), token));
  };
  return { toBytes, leadingSpaces };
}

function unsupported(what: string): TokenizerError {
  return new TokenizerError(`tokenizer.json: the decoder ${what} is not supported`, {
    decoder: what,
  });
}
