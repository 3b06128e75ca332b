import { Injectable } from '@nestjs/common';
import { type EntityManager } from 'typeorm';
import { InstanceStore } from '../instances/instance-store.js';
import { type ServiceInstance } from '../instances/service-instance.entity.js';
import { type OperationContext, type OperationHandler, type Outcome } from '../operations/operation-handler.js';
import { type Operation } from '../operations/operation.entity.js';
import { type RestoreNames } from '../postgres/shadow.js';
import { namesOf } from './backup-preflight.js';
import { backupDto } from './backup.dto.js';
import { type Backup } from './backup.entity.js';
import { DiscardedDatabases } from './discarded-databases.js';
import { RestoreArchive } from './restore-archive.js';
import { restoreMemoOf, type SwapReport } from './restore-memo.js';
import { ShadowFilling } from './shadow-filling.js';
import { Swapping } from './swapping.js';

/** What `POST /restore_instance` asks for. */
export interface RestoreInput {
  /** Whose backup it is. */
  from: string;
  name: string;
  /** The one that was seen: another one of that name is not restored. */
  sha256: string;
  acceptErrors: boolean;
}

/**
 * Fetch, fill a shadow, verify, swap. Until the swap the living database is not touched, and an attempt that broke off
 * starts from the beginning; after it the operation ends well, whatever happens.
 */
@Injectable()
export class RestoreHandler implements OperationHandler {
  readonly kind = 'restore';
  readonly heavy = true;

  constructor(
    private readonly instances: InstanceStore,
    private readonly archive: RestoreArchive,
    private readonly filling: ShadowFilling,
    private readonly swapping: Swapping,
    private readonly discarded: DiscardedDatabases,
  ) {}

  async run(context: OperationContext): Promise<Outcome> {
    const { operation } = context;
    const instance = await this.instances.get(operation.instanceId);
    const swapped = await this.swapping.resume(context, instance);
    if (swapped === undefined) await this.#clear(context, instance);
    const outcome = swapped ?? (await this.#restore(context, instance));
    await this.#unspool(operation);
    return outcome;
  }

  /** Where the swap has happened in spite of all, the restore has succeeded. */
  async undo(context: OperationContext): Promise<Outcome> {
    const { operation } = context;
    await this.#unspool(operation);
    const instance = await this.instances.find(operation.instanceId);
    if (instance === null) return {};
    const swapped = await this.swapping.resume(context, instance);
    if (swapped === undefined) await this.#clear(context, instance);
    return swapped === undefined ? {} : { ...swapped, happened: true };
  }

  async abandon(operation: Operation, manager: EntityManager): Promise<void> {
    const { shadow } = restoreMemoOf(operation);
    const instance = await this.instances.find(operation.instanceId);
    if (shadow && instance) await this.discarded.addShadow(instance.id, namesOf(instance), shadow, manager);
  }

  async #restore(context: OperationContext, instance: ServiceInstance): Promise<Outcome> {
    const { operation } = context;
    await context.phase('fetching');
    const { from, name, sha256, acceptErrors } = operation.input as unknown as RestoreInput;
    const backup = await this.archive.find(from, name, sha256);
    const drawn = { shadow: this.filling.draw(), spool: this.archive.draw(operation.id) };
    await context.remember(drawn);
    const { shadow } = drawn;
    const archive = await this.archive.fetch(context, backup, drawn.spool);
    const ask = { archive, own: isOwn(backup, instance), acceptErrors };
    const inspected = await this.filling.inspect(context, instance, ask);
    const filled = await this.filling.fill(context, instance, { ...ask, shadow, inspected });
    const report: SwapReport = {
      backup: backupDto(backup),
      rows: filled.rows,
      tables: filled.tables,
      left_out: [...inspected.leftOut, ...filled.leftOut],
    };
    return this.swapping.swap(context, instance, databasesOf(shadow), report);
  }

  async #clear({ operation, signal }: OperationContext, instance: ServiceInstance): Promise<void> {
    const { shadow } = restoreMemoOf(operation);
    if (shadow !== undefined) await this.filling.discard(instance, shadow, signal);
    await this.#unspool(operation);
  }

  async #unspool(operation: Operation): Promise<void> {
    const { spool } = restoreMemoOf(operation);
    if (spool !== undefined) await this.archive.remove(spool);
  }
}

/** A dump of the same roles: what was deleted and made anew under the same id has others. */
function isOwn({ instanceId, origin, createdAt }: Backup, instance: ServiceInstance): boolean {
  return origin === 'backup' && instanceId === instance.id && createdAt >= instance.createdAt;
}

function databasesOf({ database, restorePoint }: RestoreNames): { incoming: string; outgoing: string } {
  return { incoming: database, outgoing: restorePoint };
}
