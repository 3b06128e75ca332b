import { randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { type EntityManager } from 'typeorm';
import { InstanceStore } from '../instances/instance-store.js';
import { type OperationContext, type OperationHandler, type Outcome } from '../operations/operation-handler.js';
import { type Operation } from '../operations/operation.entity.js';
import { StorageRegistry } from '../storage/storage-registry.js';
import { ArchiveKeeping, type LiveUpload } from './archive-keeping.js';
import { ArchiveRemains } from './archive-remains.js';
import { type ArchiveMemo, memoOf } from './backup-memo.js';
import { BackupPreflight, namesOf } from './backup-preflight.js';
import { DumpToSpool } from './dump-to-spool.js';

/** What `POST /backup_instance` asks for. */
export interface BackupInput {
  storage: string;
  name?: string;
}

/** Dump, upload, manifest, row. What is whole in the spool is never dumped again. */
@Injectable()
export class BackupHandler implements OperationHandler {
  readonly kind = 'backup';
  readonly heavy = true;
  readonly ownDeadline = true;

  constructor(
    private readonly instances: InstanceStore,
    private readonly storages: StorageRegistry,
    private readonly preflight: BackupPreflight,
    private readonly dumping: DumpToSpool,
    private readonly keeping: ArchiveKeeping,
    private readonly remains: ArchiveRemains,
  ) {}

  async run(context: OperationContext): Promise<Outcome> {
    const { operation } = context;
    const live = memoOf(operation).manifest === undefined ? await this.#dump(context) : undefined;
    const dropping = this.remains.dropRole(context);
    dropping.catch(() => undefined);
    const entry = await this.keeping.keep(context, 'uploading', live).finally(() => live?.ended);
    const dropped = await dropping;
    return this.keeping.kept(entry, async (manager) => {
      if (!dropped) await this.remains.noteLeft(operation, manager);
    });
  }

  undo({ operation, signal }: OperationContext): Promise<Outcome> {
    return this.remains.undo(operation, signal);
  }

  abandon(operation: Operation, manager: EntityManager): Promise<void> {
    return this.remains.noteLeft(operation, manager);
  }

  /** Until the archive is whole in the spool, an attempt starts from the beginning. */
  async #dump(context: OperationContext): Promise<LiveUpload | undefined> {
    const { operation, signal } = context;
    const input = operation.input as unknown as BackupInput;
    const instance = await this.instances.get(operation.instanceId);
    const names = namesOf(instance);
    const storage = this.storages.get(input.storage);
    await this.remains.clear(context);
    const checking = this.preflight.check(instance, storage, input.name, signal);
    const [prepared] = await Promise.all([checking, context.phase('dumping')]);
    const drawn = this.dumping.draw(operation.id);
    const backupName = input.name ?? defaultName();
    const begun: ArchiveMemo = { ...drawn, names, storage: storage.name, name: backupName, token: null };
    await context.remember({ ...begun });
    const { manifest, live } = await this.dumping.run(context, { ...drawn, ...prepared, names, backupName, storage });
    await context.remember({ ...this.keeping.spooled(manifest) });
    return live;
  }
}

/** The UTC time with a random ending. */
function defaultName(): string {
  const time = new Date()
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replaceAll(/[-:]/g, '');
  return `${time}-${randomBytes(3).toString('hex')}`;
}
