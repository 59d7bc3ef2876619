/** Reads the fields of a request; what is wrong is refused by name. */
import { InvalidRequestError } from "../errors.js";

/** The longest time that a timer takes: one that is longer, such as Infinity, would be over at once. */
export const LONGEST_MS = 2 ** 31 - 1;

/** @returns the error that a parameter is refused with */
export function invalid(param: string, what: string): InvalidRequestError {
  return new InvalidRequestError(`${param} ${what}`, { param });
}

/** A schema as text: what travels is plain, whatever state of a page it was. @throws InvalidRequestError */
export function json(value: unknown, at: string): string {
  try {
    return JSON.stringify(value);
  } catch (error) {
    throw invalid(at, `can't be written as JSON: ${(error as Error).message}`);
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The names of a record's fields; one that is undefined is absent, as JSON would have it. */
export const namesIn = (record: object): string[] => Object.keys(defined(record));

/** Typed access to optional scalars; null counts as absent, as in OpenAI's API. */
export class Fields {
  /** @param prefix of the names in errors, for fields of a field: `webbuild.` */
  constructor(
    private readonly params: Record<string, unknown>,
    private readonly prefix = "",
  ) {}

  boolean(name: string): boolean | undefined {
    const value = this.params[name] ?? undefined;
    if (value !== undefined && typeof value !== "boolean")
      throw invalid(this.prefix + name, "must be true or false");
    return value;
  }

  string(name: string): string | undefined {
    const value = this.params[name] ?? undefined;
    if (value !== undefined && typeof value !== "string")
      throw invalid(this.prefix + name, "must be a string");
    return value;
  }

  number(name: string, min: number, max: number): number | undefined {
    const value = this.params[name] ?? undefined;
    if (value === undefined) return undefined;
    if (typeof value !== "number" || !(value >= min && value <= max)) {
      throw invalid(
        this.prefix + name,
        `must be a number from ${min} to ${max}, not ${show(value)}`,
      );
    }
    return value;
  }

  integer(name: string, min?: number): number | undefined {
    const value = this.params[name] ?? undefined;
    if (value === undefined) return undefined;
    if (!Number.isSafeInteger(value) || (min !== undefined && (value as number) < min)) {
      const least = min === undefined ? "" : ` of at least ${min}`;
      throw invalid(this.prefix + name, `must be an integer${least}, not ${show(value)}`);
    }
    return value as number;
  }
}

/** A value in an error's words. */
export function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  try {
    return String(value);
  } catch {
    return Object.prototype.toString.call(value); // it has a toString of its own, which is none
  }
}

/** Drops undefined fields, which callers may write and the engine's options don't know. */
export function defined<T extends object>(options: T): T {
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  ) as T;
}
