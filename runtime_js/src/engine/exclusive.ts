/** Work that needs the GPU for itself, one after another: it begins when no request runs, and those that come meanwhile wait. */

interface Task {
  run(): Promise<void>;
  reject(error: Error): void;
}

export class Exclusive {
  readonly #waiting: Task[] = [];
  #task: Task | undefined;

  /** @param wake called when there is something to begin, or something has ended */
  constructor(private readonly wake: () => void) {}

  get waits(): boolean {
    return this.#waiting.length > 0;
  }

  get runs(): boolean {
    return this.#task !== undefined;
  }

  /** Adds work. @returns what it resolves or rejects with */
  add<T>(work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ run: () => work().then(resolve, reject), reject });
      this.wake();
    });
  }

  /** Begins what has waited longest, if anything does. */
  begin(): void {
    const task = this.#waiting.shift();
    if (!task) return;
    this.#task = task;
    task.run().finally(() => {
      if (this.#task !== task) return; // given up
      this.#task = undefined;
      this.wake();
    });
  }

  /** What runs rejects; what waits goes on to wait. */
  giveUp(error: Error): void {
    this.#task?.reject(error);
    this.#task = undefined;
  }

  /** What runs and what waits rejects. */
  stop(error: Error): void {
    this.giveUp(error);
    for (const task of this.#waiting.splice(0)) task.reject(error);
  }
}
