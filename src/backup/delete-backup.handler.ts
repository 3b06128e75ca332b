import { Injectable } from '@nestjs/common';
import { BrokerError } from '../errors.js';
import { type OperationContext, type OperationHandler, type Outcome } from '../operations/operation-handler.js';
import { type Operation } from '../operations/operation.entity.js';
import { archiveKey, manifestKey } from '../storage/object-key.js';
import { ObjectNotFoundError } from '../storage/storage-provider.js';
import { BackupLook } from './backup-look.js';
import { BackupStore } from './backup-store.js';
import { backupDto } from './backup.dto.js';
import { type Backup } from './backup.entity.js';

/** What `DELETE /backups/:instance_id/:backup_name` asks for. */
export interface DeleteBackupInput {
  name: string;
  /** The one that was seen: another one of that name is left alone. */
  sha256: string;
}

/** Manifest, archive, row: without its manifest a backup is none, whatever becomes of the rest. */
@Injectable()
export class DeleteBackupHandler implements OperationHandler {
  readonly kind = 'delete_backup';

  constructor(
    private readonly backups: BackupStore,
    private readonly look: BackupLook,
  ) {}

  async run(context: OperationContext): Promise<Outcome> {
    const { signal } = context;
    const backup = await this.#backup(context.operation);
    if (backup === undefined) return {};
    const storage = this.look.storageOf(backup);
    const manifest = manifestKey(backup.instanceId, backup.name);
    const archive = archiveKey(backup.instanceId, backup.name);
    const elsewhere = this.look.elsewhere(backup);
    if (elsewhere !== undefined)
      await storage.stat(archive, signal).catch((error: unknown) => {
        throw error instanceof ObjectNotFoundError ? elsewhere : error;
      });
    await context.decide({});
    await storage.delete(manifest, signal);
    await storage.delete(archive, signal);
    return this.#gone(backup);
  }

  /** No cancel comes once the manifest is about to go; a failure comes too late once it is gone. */
  async undo(context: OperationContext): Promise<Outcome> {
    const backup = await this.#backup(context.operation);
    if (backup === undefined || this.look.elsewhere(backup) !== undefined) return {};
    const storage = this.look.storageOf(backup);
    try {
      await storage.stat(manifestKey(backup.instanceId, backup.name), context.signal);
      return {};
    } catch (error) {
      if (!(error instanceof ObjectNotFoundError)) throw error;
      await storage.delete(archiveKey(backup.instanceId, backup.name), context.signal);
      return { ...this.#gone(backup), happened: true };
    }
  }

  #gone(backup: Backup): Outcome {
    const { instanceId, name } = backup;
    return {
      result: { ...backupDto(backup) },
      conclude: (manager) => this.backups.remove(instanceId, name, manager),
    };
  }

  async #backup({ instanceId, input }: Operation): Promise<Backup | undefined> {
    const { name, sha256 } = input as unknown as DeleteBackupInput;
    const found = await this.backups.get(instanceId, name).catch((error: unknown) => {
      if (error instanceof BrokerError && error.code === 'unknown_backup') return undefined;
      throw error;
    });
    return found?.sha256 === sha256 ? found : undefined;
  }
}
