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
  prepend_scheme?: string;
  add_prefix_space?: boolean;
  prefix?: string;
  cleanup?: boolean;
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

/** How a decoder reads a token, which has no further meaning in any text. */
interface Reading {
  /** Anywhere but at the beginning of a text. */
  inside: (token: string) => Uint8Array;
  /** At the beginning. */
  first: (token: string) => Uint8Array;
  /** Added tokens are text as they are. */
  byteLevel: boolean;
  /** Spaces at the start of a text that the decoder drops. */
  leadingSpaces: number;
}

export class TokenBytes {
  readonly #added: Map<number, AddedToken>;
  readonly #reading: Reading;

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
    this.#reading = compileDecoder(steps);
  }

  /** Spaces at the start of a text that the decoder drops. */
  get leadingSpaces(): number {
    return this.#reading.leadingSpaces;
  }

  /** Tokens beside the vocabulary: control tokens, and others that a text's tokens are never part of. */
  get added(): readonly AddedToken[] {
    return [...this.#added.values()];
  }

  /** Whether a token is a control token, which is never text. */
  isSpecial(id: number): boolean {
    return this.#added.get(id)?.special ?? false;
  }

  /** Whether there is such a token; a head may have more rows. */
  has(id: number): boolean {
    return this.#added.has(id) || this.tokenOf(id) !== undefined;
  }

  /** Bytes of a token inside a text, special or not; empty for an id outside the vocabulary. */
  of(id: number): Uint8Array {
    return this.#read(id, this.#reading.inside);
  }

  /** The same of the token that a text begins with. */
  first(id: number): Uint8Array {
    return this.#read(id, this.#reading.first);
  }

  #read(id: number, toBytes: (token: string) => Uint8Array): Uint8Array {
    const added = this.#added.get(id);
    if (added && (added.special || this.#reading.byteLevel)) return encoder.encode(added.content);
    const token = added?.content ?? this.tokenOf(id);
    return token === undefined ? new Uint8Array(0) : toBytes(token);
  }
}

const encoder = new TextEncoder();

/** As the decoders of the `tokenizers` package, which are functions of one token, and of whether it is the first. */
function compileDecoder(steps: (DecoderConfig | null)[]): Reading {
  let byteLevel = false;
  let byteFallback = false;
  let leadingSpaces = 0;
  const everywhere: ((token: string) => string)[] = [];
  const atFirst: ((token: string) => string)[] = [];
  const both = (change: (token: string) => string) => {
    everywhere.push(change);
    atFirst.push(change);
  };
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
      case "Metaspace": {
        const { replacement = "▁", prepend_scheme, add_prefix_space } = step;
        const prepends =
          (prepend_scheme ?? (add_prefix_space === false ? "never" : "")) !== "never";
        everywhere.push((token) => token.replaceAll(replacement, " "));
        atFirst.push((token) => token.replaceAll(replacement, prepends ? "" : " "));
        break;
      }
      case "WordPiece": {
        const { prefix = "##", cleanup = true } = step;
        const clean = cleanup ? withoutSpaces : (token: string) => token;
        everywhere.push((token) =>
          clean(token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`),
        );
        atFirst.push(clean);
        break;
      }
      case "Replace": {
        const { pattern, content = "" } = step;
        const text = pattern?.String;
        if (text === undefined) throw unsupported("Replace with a regular expression");
        both((token) => token.replaceAll(text, content));
        break;
      }
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
    return { inside: toBytes, first: toBytes, byteLevel, leadingSpaces };
  }
  const reading = (changes: ((token: string) => string)[]) => (token: string) => {
    const byte = byteFallback && /^<0x([0-9A-F]{2})>$/i.exec(token);
    if (byte) return Uint8Array.of(Number.parseInt(byte[1] as string, 16));
    return encoder.encode(changes.reduce((text, change) => change(text), token));
  };
  return { inside: reading(everywhere), first: reading(atFirst), byteLevel, leadingSpaces };
}

/** The WordPiece decoder's `cleanup`: words were split at marks that no space stands before. */
function withoutSpaces(token: string): string {
  return CLEANUP.reduce((text, [from, to]) => text.replaceAll(from, to), token);
}

const CLEANUP: readonly [string, string][] = [
  [" .", "."],
  [" ?", "?"],
  [" !", "!"],
  [" ,", ","],
  [" ' ", "'"],
  [" n't", "n't"],
  [" 'm", "'m"],
  [" do not", " don't"],
  [" 's", "'s"],
  [" 've", "'ve"],
  [" 're", "'re"],
];

function unsupported(what: string): TokenizerError {
  return new TokenizerError(`tokenizer.json: the decoder ${what} is not supported`, {
    decoder: what,
  });
}
