import { randomUUID } from 'node:crypto';
import { Injectable, Logger } from '@nestjs/common';
import { BrokerError } from '../errors.js';
import { LEFT_CLAIM_MS, LeftOperations } from '../operations/left-operations.js';
import { type Operation } from '../operations/operation.entity.js';
import { OperationsService } from '../operations/operations.service.js';
import { Upkeep } from '../upkeep.js';
import { ArchiveRemains } from './archive-remains.js';
import { BackupService } from './backup.service.js';
import { type Backup } from './backup.entity.js';
import { LeftUploads } from './left-uploads.js';
import { LostOrphans } from './lost-orphans.js';

const EVERY_MS = 5_000;
const DELETE_WAIT_MS = 60_000;
const FIRST_PAUSE_MS = 15_000;
const LONGEST_PAUSE_MS = 600_000;
/** Well before the claim ends, by which nobody else takes it up, nor its name. */
const REMOVAL_MS = LEFT_CLAIM_MS * 0.7;

/** What has to be done for backups without anybody asking: retention, and what failures have left. */
@Injectable()
export class BackupJanitor extends Upkeep {
  readonly #logger = new Logger('BackupJanitor');
  /** When each may be tried again. */
  readonly #next = new Map<string, { at: number; pauseMs: number }>();

  constructor(
    private readonly operations: OperationsService,
    private readonly left: LeftOperations,
    private readonly service: BackupService,
    private readonly remains: ArchiveRemains,
    private readonly uploads: LeftUploads,
    private readonly lost: LostOrphans,
  ) {
    super(EVERY_MS);
  }

  /** Before operations start: the spool is rid of what no operation needs. */
  prepare(stopping: AbortSignal): Promise<void> {
    return this.uploads.prepare(stopping);
  }

  protected override async round(stopped: AbortSignal): Promise<void> {
    const steps = [
      () => this.#removeLeft(stopped),
      () => this.#removeOrphans(stopped),
      () => this.uploads.sweep(stopped),
    ];
    for (const step of steps) {
      if (stopped.aborted) return;
      await step().catch((error: unknown) => this.#later(stopped, error));
    }
  }

  async #removeLeft(stopped: AbortSignal): Promise<void> {
    for (const operation of await this.left.due()) {
      if (stopped.aborted || !this.#isDue(operation.id)) continue;
      const claimed = await this.left.claim(operation);
      if (claimed !== undefined && (await this.#isRemoved(claimed, stopped))) this.#next.delete(operation.id);
    }
  }

  async #isRemoved(claimed: Operation, stopped: AbortSignal): Promise<boolean> {
    const signal = AbortSignal.any([stopped, AbortSignal.timeout(REMOVAL_MS)]);
    const hindered = await this.remains.remove(claimed, signal).catch((error: unknown) => error);
    if (hindered !== undefined) await this.left.givenUp(claimed);
    else await this.left.cleared(claimed);
    return hindered === undefined;
  }

  async #removeOrphans(stopped: AbortSignal): Promise<void> {
    for (const backup of await this.service.orphans()) {
      if (stopped.aborted || !this.#isDue(`${backup.operationId} ${backup.name}`)) continue;
      await this.#deleteOrphan(backup, stopped).catch((error: unknown) => this.#later(stopped, error));
    }
  }

  /** One after the other: an instance has one operation at a time. */
  async #deleteOrphan(backup: Backup, stopped: AbortSignal): Promise<void> {
    if (await this.lost.isLost(backup, stopped)) return;
    const caller = { requestedBy: { realm: 'broker' as const }, requestId: `janitor-${randomUUID()}` };
    const { id } = await this.service.beginDelete(backup, caller);
    await this.operations.settled(id, DELETE_WAIT_MS, stopped);
  }

  #isDue(key: string): boolean {
    const { at, pauseMs } = this.#next.get(key) ?? { at: 0, pauseMs: FIRST_PAUSE_MS / 2 };
    if (Date.now() < at) return false;
    const longer = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
    this.#next.set(key, { at: Date.now() + longer, pauseMs: longer });
    return true;
  }

  #later(stopped: AbortSignal, error: unknown): void {
    if (stopped.aborted) return;
    const why = error instanceof BrokerError ? `${error.code}: ${error.message}` : String(error);
    if (!why.startsWith('operation_in_progress')) this.#logger.warn(`cleaning up goes on later: ${why}`);
  }
}
