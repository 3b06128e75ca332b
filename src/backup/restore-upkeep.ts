import { Injectable, Logger } from '@nestjs/common';
import { DiscardedDatabases } from './discarded-databases.js';
import { RestorePoints } from './restore-points.js';

const EVERY_MS = 5_000;

/** Ends restore points whose time is over, and drops databases that nothing needs any more. */
@Injectable()
export class RestoreUpkeep {
  readonly #logger = new Logger('Backup');
  #stopped = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(
    private readonly points: RestorePoints,
    private readonly discarded: DiscardedDatabases,
  ) {}

  start(): void {
    this.#stopped = new AbortController();
    this.#running = this.#run(this.#stopped.signal);
  }

  /** Waits for what it is at. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
  }

  /** Before an instance is removed: its roles own what is in these databases. */
  async clear(instanceId: string, signal: AbortSignal): Promise<void> {
    await this.points.giveUpOf(instanceId);
    await this.discarded.dropOf(instanceId, signal);
  }

  async #run(stopped: AbortSignal): Promise<void> {
    while (!stopped.aborted) {
      try {
        await this.points.expire();
        await this.discarded.drop(stopped);
      } catch (error) {
        this.#logger.warn(`restore points are looked after later: ${String(error)}`);
      }
      await this.discarded.round(EVERY_MS, stopped);
    }
  }
}
