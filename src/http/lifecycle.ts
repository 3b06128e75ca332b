import { Injectable } from '@nestjs/common';

export type LifecycleState = 'starting' | 'ready' | 'stopping';

/** Where the broker stands between its start and its end. */
@Injectable()
export class Lifecycle {
  #state: LifecycleState = 'starting';
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
}
