import { Inject, Injectable, Logger } from '@nestjs/common';
import { BROKER_CONFIG } from '../config/config.module.js';
import { type BrokerConfig } from '../config/schema.js';
import { archiveKey } from '../storage/object-key.js';
import { ObjectNotFoundError } from '../storage/storage-provider.js';
import { StorageRegistry } from '../storage/storage-registry.js';
import { BackupLook } from './backup-look.js';
import { BackupStore } from './backup-store.js';
import { type Backup } from './backup.entity.js';

/** A node or a storage that has not come back for so long after a backup's time was over does not come back. */
const PATIENCE_MS = 30 * 86_400_000;

/** Backups whose time is over, in a folder of another node or in a storage that is not configured any more. */
@Injectable()
export class LostOrphans {
  readonly #logger = new Logger('Backup');

  constructor(
    private readonly backups: BackupStore,
    private readonly storages: StorageRegistry,
    private readonly look: BackupLook,
    @Inject(BROKER_CONFIG) private readonly config: BrokerConfig,
  ) {}

  /** True for one that cannot be removed from here; after long it is forgotten. @throws storage_* */
  async isLost(backup: Backup, signal: AbortSignal): Promise<boolean> {
    const storage = this.storages.find(backup.storage);
    const where = storage === undefined ? 'is not configured any more' : this.look.elsewhere(backup)?.message;
    if (where === undefined) return false;
    const key = archiveKey(backup.instanceId, backup.name);
    if (storage !== undefined && (await isThere(storage.stat(key, signal)))) return false;
    const due = (backup.orphanedAt?.getTime() ?? Infinity) + this.config.backups.keep_after_deprovision;
    if (Date.now() < due + PATIENCE_MS) return true;
    await this.backups.remove(backup.instanceId, backup.name);
    this.#logger.warn(
      `backup ${backup.name} of the deleted instance ${backup.instanceId} is forgotten, its files are not removed: ${storage === undefined ? `storage ${backup.storage} ` : ''}${where}`,
    );
    return true;
  }
}

async function isThere(stat: Promise<unknown>): Promise<boolean> {
  try {
    await stat;
    return true;
  } catch (error) {
    if (error instanceof ObjectNotFoundError) return false;
    throw error;
  }
}
