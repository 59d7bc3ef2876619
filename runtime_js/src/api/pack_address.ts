/** Where packs are, and what their servers want to be told. */
import type { LoadOptions } from "../engine/load.js";
import { InvalidRequestError } from "../errors.js";
import type { PackRequest } from "../store/download.js";
import { defined, invalid } from "./fields.js";

export interface AddressOptions {
  /**
   * A smaller pack with the same tokenizer (its folder or its pack.json), which guesses tokens for requests that ask for
   * `speculation`. It takes memory of its own, KV pages for as many positions among them.
   */
  draft?: string | URL | undefined;
  /** Headers of the requests for the pack's files, say `Authorization`; a draft of another origin is asked without them. */
  headers?: HeadersInit | undefined;
  /** Whether these requests carry cookies; default: within this origin. */
  credentials?: RequestCredentials | undefined;
}

/** What the engine is told. */
export type PackAddresses = Pick<LoadOptions, "url" | "draft" | "requests">;

/** @throws InvalidRequestError */
export function addresses(packUrl: string | URL, options: AddressOptions): PackAddresses {
  const pack = absolute(packUrl);
  const draft = options.draft === undefined ? undefined : absolute(options.draft);
  const asked = defined({
    headers: checkedHeaders(options.headers),
    credentials: checkedCredentials(options.credentials),
  }) as PackRequest;
  const requests: Record<string, PackRequest> = {};
  for (const url of draft ? [draft, pack] : [pack]) {
    const request = {
      ...(url.search && { query: url.search }),
      ...(url.origin === pack.origin && asked),
    };
    if (Object.keys(request).length > 0) requests[folderOf(url)] = request;
  }
  return {
    url: folderOf(pack),
    ...(draft && { draft: folderOf(draft) }),
    ...(Object.keys(requests).length > 0 && { requests }),
  };
}

/** The folder of a pack, absolute, with a trailing slash: its name in the browser's storage. @throws InvalidRequestError */
export function packFolder(packUrl: string | URL): string {
  return folderOf(absolute(packUrl));
}

function folderOf({ href }: URL): string {
  const url = new URL(href);
  url.hash = "";
  url.search = "";
  url.pathname = url.pathname.replace(/pack\.json$/, "").replace(/\/*$/, "/");
  return url.href;
}

function absolute(packUrl: string | URL): URL {
  const { document, location } = globalThis as { document?: Document; location?: Location };
  const base =
    document?.baseURI ?? location?.href ?? `file://${globalThis.process?.cwd?.() ?? ""}/`;
  try {
    return new URL(packUrl, base);
  } catch {
    throw new InvalidRequestError(`${packUrl} is not a URL of a pack`, { param: "packUrl" });
  }
}

/** Headers as they can be sent to a worker. */
function checkedHeaders(headers: HeadersInit | undefined): Record<string, string> | undefined {
  if (headers === undefined) return undefined;
  try {
    return Object.fromEntries(new Headers(headers));
  } catch (cause) {
    throw invalid("headers", `can't be sent: ${(cause as Error).message}`);
  }
}

function checkedCredentials(credentials: RequestCredentials | undefined) {
  if (["omit", "same-origin", "include", undefined].includes(credentials)) return credentials;
  throw invalid("credentials", `must be "omit", "same-origin" or "include", not ${credentials}`);
}
