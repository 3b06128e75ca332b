import { Injectable } from '@nestjs/common';

export type LifecycleState = 'starting' | 'ready' | 'stopping';

/** Where the broker stands between its start and its end, and how many requests it is answering. */
@Injectable()
export class Lifecycle {
  #state: LifecycleState = 'starting';
  #running = 0;
  #whenIdle: (() => void)[] = [];
  readonly #stopping = new AbortController();

  get state(): LifecycleState {
    return this.#state;
  }

  /** Aborted as soon as the broker takes no new work. */
  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  markReady(): void {
    if (this.#state === 'starting') this.#state = 'ready';
  }

  markStopping(): void {
    this.#state = 'stopping';
    this.#stopping.abort();
  }

  requestStarted(): void {
    this.#running += 1;
  }

  requestEnded(): void {
    this.#running -= 1;
    if (this.#running === 0) this.#whenIdle.splice(0).forEach((resolve) => resolve());
  }

  /** Resolves when no request is running any more, at the latest after `withinMs`; says whether all had ended. */
  async drained(withinMs: number): Promise<boolean> {
    if (this.#running === 0) return true;
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), withinMs);
      this.#whenIdle.push(() => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }
}
