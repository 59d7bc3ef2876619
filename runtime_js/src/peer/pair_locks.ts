/**
 * Two Web Locks for the two ends of a link: each end holds its own, and gets the other's when the other is gone, however
 * it went: the browser lets go of what a tab or a worker held.
 */
export interface PairLocks {
  /** Resolves when the other end is gone. Call it once that has said something: it holds its lock before. */
  gone(): Promise<void>;
  /** Lets go of this end's, which tells the other, and of what {@link gone} waits for. */
  release(): void;
}

/** @param name of the pair, which only these two know. Where there are no locks (outside of https) nothing is noticed */
export async function pairLocks(name: string, side: "a" | "b"): Promise<PairLocks> {
  const locks = globalThis.navigator?.locks as LockManager | undefined;
  const release = await hold(locks, `${name}.${side}`);
  const watching = new AbortController();
  return {
    gone: () =>
      new Promise((resolve) => {
        const other = `${name}.${side === "a" ? "b" : "a"}`;
        locks?.request(other, { signal: watching.signal }, () => resolve()).catch(() => {}); // aborted: this side let go first
      }),
    release() {
      watching.abort();
      release();
    },
  };
}

/** Takes a lock that nobody else takes. @returns lets go of it */
async function hold(locks: LockManager | undefined, name: string): Promise<() => void> {
  if (!locks) return () => {};
  return new Promise((resolve, reject) => {
    locks
      .request(name, () => new Promise<void>((release) => resolve(() => release())))
      .catch(reject);
  });
}
