import { setTimeout as pause } from 'node:timers/promises';
import { Injectable, Logger } from '@nestjs/common';
import { BrokerError } from '../errors.js';
import { type Operation } from '../operations/operation.entity.js';
import { OperationsService } from '../operations/operations.service.js';
import { StorageRegistry } from '../storage/storage-registry.js';
import { memoOf } from './backup-memo.js';
import { Spool } from './spool.js';

const DAY_MS = 86_400_000;
/** A storage that could not be swept is tried again. */
const AGAIN_MS = 300_000;
/** Between looks for the state database at start. */
const AWAY_MS = 1_000;
/** Clocks of storages may differ from ours. */
const SKEW_MS = 30_000;

/** Half-written uploads and spooled files that a dead broker has left, as far as no operation goes on with them. */
@Injectable()
export class LeftUploads {
  readonly #logger = new Logger('BackupJanitor');
  readonly #due = new Map<string, number>();
  /** Operations that ran when this broker started may have left uploads that nobody has written down. */
  #former = new Set<string>();
  #started = Date.now();

  constructor(
    private readonly operations: OperationsService,
    private readonly storages: StorageRegistry,
    private readonly spool: Spool,
  ) {}

  /** Tries until the state database answers; rejects when the signal aborts. */
  async prepare(stopping: AbortSignal): Promise<void> {
    this.#started = Date.now();
    await this.storages.prepare();
    const unended = await this.#unended(stopping);
    this.#former = new Set(unended.map(({ id }) => id));
    await this.spool.sweep(new Set(unended.map((operation) => memoOf(operation).spool ?? '')));
  }

  /** At start, when the work that was found then has ended, and daily. */
  async sweep(stopped: AbortSignal): Promise<void> {
    const now = Date.now();
    const isOldEnough = now > this.#started + SKEW_MS;
    const formerEnded = isOldEnough && this.#former.size > 0 && (await this.#formerEnded());
    const due = this.storages.all().filter(({ name }) => formerEnded || (this.#due.get(name) ?? 0) <= now);
    if (due.length === 0) return;
    const unended = await this.operations.unended();
    const keep = new Set(unended.flatMap((operation) => memoOf(operation).token ?? []));
    const oldest = Math.min(this.#started, now - SKEW_MS, ...unended.map(({ createdAt }) => createdAt.getTime()));
    for (const storage of due) {
      if (stopped.aborted) return;
      try {
        const removed = await storage.sweep(new Date(oldest), keep, stopped);
        if (removed > 0) this.#logger.log(`storage ${storage.name}: ${removed} half-written uploads were removed`);
        this.#due.set(storage.name, now + DAY_MS);
      } catch (error) {
        if (stopped.aborted) return;
        this.#due.set(storage.name, now + AGAIN_MS);
        this.#logger.warn(`storage ${storage.name} is swept later: ${String(error)}`);
      }
    }
  }

  async #unended(stopping: AbortSignal): Promise<Operation[]> {
    for (;;) {
      stopping.throwIfAborted();
      try {
        return await this.operations.unended();
      } catch (error) {
        if (!(error instanceof BrokerError && error.code === 'server_unreachable')) throw error;
        await pause(AWAY_MS, undefined, { signal: stopping });
      }
    }
  }

  async #formerEnded(): Promise<boolean> {
    const unended = new Set((await this.operations.unended()).map(({ id }) => id));
    if ([...this.#former].some((id) => unended.has(id))) return false;
    this.#former.clear();
    return true;
  }
}
