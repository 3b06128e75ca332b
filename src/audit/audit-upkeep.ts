import { setTimeout as pause } from 'node:timers/promises';
import { Inject, Injectable, Logger } from '@nestjs/common';
import { BROKER_CONFIG } from '../config/config.module.js';
import { type BrokerConfig } from '../config/schema.js';
import { AuditStore } from './audit-store.js';

const EVERY_MS = 86_400_000;

/** Deletes records whose time is over: at the start, and once a day. */
@Injectable()
export class AuditUpkeep {
  readonly #logger = new Logger('Audit');
  #stopped = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(
    private readonly store: AuditStore,
    @Inject(BROKER_CONFIG) private readonly config: BrokerConfig,
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

  async #run(stopped: AbortSignal): Promise<void> {
    while (!stopped.aborted) {
      await this.store
        .sweep(this.config.audit.keep)
        .catch((error: unknown) => this.#logger.warn(`old records are deleted later: ${String(error)}`));
      await pause(EVERY_MS, undefined, { signal: stopped }).catch(() => undefined);
    }
  }
}
