import { setTimeout as pause } from 'node:timers/promises';

/** Rounds of work with pauses between them, from `start` to `stop`. */
export abstract class Upkeep {
  #stopped = new AbortController();
  #running: Promise<void> = Promise.resolve();

  /** @param everyMs between two rounds */
  protected constructor(protected readonly everyMs: number) {}

  start(): void {
    this.#stopped = new AbortController();
    this.#running = this.#run(this.#stopped.signal);
  }

  /** Waits for what it is at. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
  }

  /** One round; it says itself what failed, and does not reject. */
  protected abstract round(stopped: AbortSignal): Promise<void>;

  /** Resolves when the next round is due, or at the stop. */
  protected async untilDue(stopped: AbortSignal): Promise<void> {
    await pause(this.everyMs, undefined, { signal: stopped }).catch(() => undefined);
  }

  async #run(stopped: AbortSignal): Promise<void> {
    while (!stopped.aborted) {
      await this.round(stopped);
      await this.untilDue(stopped);
    }
  }
}
