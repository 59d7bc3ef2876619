/** One file over HTTP, in order, going on by range requests where a connection broke. */
import { abortError, MissingFile, NetworkError, TruncatedFile, throwIfAborted } from "../errors.js";

export type Fetch = (url: string, init?: RequestInit) => Promise<Response>;

/** What goes with every request for a pack's files. Stands in no error and in no name of the store: it may be secret. */
export interface PackRequest {
  /** Behind each address, with its question mark. */
  query?: string;
  headers?: Record<string, string>;
  credentials?: RequestCredentials;
}

export function fetchWith(fetch: Fetch, { query = "", headers, credentials }: PackRequest): Fetch {
  return (url, init) =>
    fetch(url + query, {
      ...init,
      headers: { ...headers, ...(init?.headers as Record<string, string> | undefined) },
      ...(credentials && { credentials }),
    });
}

/** Failures in a row, without a byte between them, before giving up. */
const ATTEMPTS = 3;
const FIRST_PAUSE_MS = 250;

/** Milliseconds without a byte after which a connection counts as broken: some never end by themselves. */
const STALL_MS = 60_000;

export interface DownloadOptions {
  fetch: Fetch;
  signal: AbortSignal;
  /** Bytes we have already. */
  from: number;
  /** Bytes the file must have. */
  nbytes: number;
  cache: RequestCache;
}

/**
 * The bytes [from, nbytes) of a file, in pieces.
 *
 * @throws MissingFile (404), TruncatedFile (the server has fewer bytes), NetworkError, AbortError
 */
export async function* download(url: string, options: DownloadOptions): AsyncGenerator<Uint8Array> {
  const { nbytes, signal } = options;
  let at = options.from;
  let failures = 0;
  while (at < nbytes) {
    const before = at;
    try {
      for await (const piece of request(url, at, options)) {
        at += piece.length;
        yield piece;
      }
    } catch (error) {
      if (signal.aborted) throw abortError(signal);
      if (error instanceof MissingFile || error instanceof TruncatedFile) throw error;
      if (error instanceof NetworkError && !retryable(error)) throw error;
      if (at > before) failures = 0;
      else if (++failures >= ATTEMPTS) throw asNetworkError(url, error);
      await pause(FIRST_PAUSE_MS * 2 ** failures, signal);
      continue;
    }
    // A server may send a file in parts: it has no more when a part is empty.
    if (at === before) throw truncation(url, at, nbytes);
    failures = 0;
  }
}

/** A small file of unknown size. @throws MissingFile, NetworkError, AbortError */
export async function fetchWhole(
  url: string,
  fetch: Fetch,
  signal: AbortSignal,
): Promise<Uint8Array> {
  for (let attempt = 1; ; attempt++) {
    throwIfAborted(signal);
    try {
      const inTime = AbortSignal.any([signal, AbortSignal.timeout(STALL_MS)]);
      const response = await fetch(url, { signal: inTime, cache: "no-cache" });
      checkStatus(url, response);
      return new Uint8Array(await response.arrayBuffer());
    } catch (error) {
      if (signal.aborted) throw abortError(signal);
      if (error instanceof MissingFile || attempt >= ATTEMPTS) throw asNetworkError(url, error);
      if (error instanceof NetworkError && !retryable(error)) throw error;
      await pause(FIRST_PAUSE_MS * 2 ** attempt, signal);
    }
  }
}

async function* request(
  url: string,
  at: number,
  options: DownloadOptions,
): AsyncGenerator<Uint8Array> {
  const { fetch, signal, nbytes, cache } = options;
  throwIfAborted(signal);
  const headers: Record<string, string> = at > 0 ? { range: `bytes=${at}-` } : {};
  const leaving = new AbortController();
  const either = AbortSignal.any([signal, leaving.signal]);
  const asked = fetch(url, { headers, signal: either, cache });
  const response = await unlessStalled(url, asked).catch((error: unknown) => {
    leaving.abort();
    throw error;
  });
  if (response.status === 416) throw truncation(url, at, nbytes);
  checkStatus(url, response);
  if (!response.body) return;
  // A server without ranges sends the whole file again.
  let skip = at > 0 && response.status !== 206 ? at : 0;
  const reader = response.body.getReader();
  try {
    while (true) {
      const { done, value } = await unlessStalled(url, reader.read());
      if (done) return;
      throwIfAborted(signal);
      const skipped = Math.min(skip, value.length);
      skip -= skipped;
      if (value.length > skipped) yield value.subarray(skipped);
    }
  } finally {
    await reader.cancel().catch(() => {}); // stops the transfer when the consumer leaves early
  }
}

/** @throws NetworkError */
async function unlessStalled<T>(url: string, work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const stalled = new Promise<never>((_, reject) => {
    const error = new NetworkError(`${url}: no byte came in ${STALL_MS / 1000} s`, { url });
    timer = setTimeout(() => reject(error), STALL_MS);
  });
  try {
    return await Promise.race([work, stalled]);
  } finally {
    clearTimeout(timer);
  }
}

function checkStatus(url: string, { ok, status }: Response): void {
  if (status === 404 || status === 410) {
    throw new MissingFile(`${url} does not exist (HTTP ${status})`, { url });
  }
  if (!ok) throw new NetworkError(`${url}: HTTP ${status}`, { url, status });
}

function asNetworkError(url: string, error: unknown): Error {
  if (error instanceof MissingFile || error instanceof NetworkError) return error;
  return new NetworkError(
    `${url} could not be read: ${(error as Error).message}`,
    { url },
    { cause: error },
  );
}

/** The server did not answer, or not for good. */
export function retryable(error: NetworkError): boolean {
  const status = error.data["status"] as number | undefined;
  return status === undefined || status >= 500 || status === 429 || status === 408;
}

function truncation(url: string, at: number, nbytes: number): TruncatedFile {
  return new TruncatedFile(
    `${url} has ${at} bytes, pack.json promises ${nbytes}: upload the pack again`,
    {
      url,
      found: at,
      expected: nbytes,
    },
  );
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const wake = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", wake);
      resolve();
    };
    const timer = setTimeout(wake, ms);
    signal.addEventListener("abort", wake);
  });
  throwIfAborted(signal);
}
