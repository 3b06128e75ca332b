interface Waiter {
  enter(): void;
}

/** Lets at most `width` pieces of work run at the same time, the others in the order in which they came. */
export class Gate {
  #inside = 0;
  readonly #waiting: Waiter[] = [];

  constructor(private readonly width: number) {}

  /** Rejects with the signal's reason when that is aborted before the work's turn comes. */
  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    await this.#enter(signal);
    try {
      return await work();
    } finally {
      this.#inside -= 1;
      this.#waiting.shift()?.enter();
    }
  }

  #enter(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#inside < this.width) {
      this.#inside += 1;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        enter: () => {
          signal.removeEventListener('abort', leave);
          this.#inside += 1;
          resolve();
        },
      };
      const leave = () => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        reject(signal.reason as Error);
      };
      this.#waiting.push(waiter);
      signal.addEventListener('abort', leave, { once: true });
    });
  }
}
