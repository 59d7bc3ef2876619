/** What the references of a JSON Schema can name: pointers, and the `$id` and `$anchor` of its parts, as TypeBox writes them. */

export interface Named {
  /** Which part, and where it stands. */
  schema: unknown;
  at: string;
  /** What of it is meant: a JSON pointer, not yet followed. */
  pointer: string;
}

/** Whatever has no address of its own stands here. */
const NOWHERE = "schema:///";
/** Values, in which nothing is a name. */
const VALUES = ["const", "enum", "default", "examples", "example"];

export class SchemaNames {
  readonly #base: string;
  #parts: Map<string, Omit<Named, "pointer">> | undefined;

  constructor(private readonly root: unknown) {
    this.#base = addressOf((root as { $id?: unknown } | null)?.$id, NOWHERE) ?? NOWHERE;
  }

  /** @returns undefined if the schema has nothing of that name */
  find(ref: string): Named | undefined {
    if (/^#(\/|$)/.test(ref)) return { schema: this.root, at: "", pointer: ref.slice(1) };
    const address = addressOf(ref, this.#base);
    if (address === undefined) return undefined;
    if (!this.#parts) {
      this.#parts = new Map([[this.#base, { schema: this.root, at: "" }]]);
      this.#name(this.root, "", this.#parts);
    }
    const whole = this.#parts.get(address);
    if (whole) return { ...whole, pointer: "" };
    const [before = "", pointer = ""] = address.split("#");
    const part = pointer.startsWith("/") ? this.#parts.get(before) : undefined;
    return part && { ...part, pointer };
  }

  #name(schema: unknown, at: string, parts: Map<string, Omit<Named, "pointer">>): void {
    if (typeof schema !== "object" || schema === null) return;
    const { $id, $anchor } = schema as { $id?: unknown; $anchor?: unknown };
    for (const name of [$id, typeof $anchor === "string" ? `#${$anchor}` : undefined]) {
      const address = addressOf(name, this.#base);
      if (address !== undefined && !parts.has(address)) parts.set(address, { schema, at });
    }
    for (const [key, value] of Object.entries(schema)) {
      if (VALUES.includes(key)) continue;
      this.#name(value, `${at}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`, parts);
    }
  }
}

function addressOf(name: unknown, base: string): string | undefined {
  if (typeof name !== "string") return undefined;
  try {
    return new URL(name, base).href.replace(/#$/, "");
  } catch {
    return undefined;
  }
}
