import { Injectable } from '@nestjs/common';
import { type EntityManager } from 'typeorm';
import { BrokerError } from '../errors.js';
import { InstanceStore } from '../instances/instance-store.js';
import { manifestKey } from '../storage/object-key.js';
import { ObjectNotFoundError, type StorageProvider } from '../storage/storage-provider.js';
import { StorageRegistry } from '../storage/storage-registry.js';
import { assertReady } from './backup.service.js';
import { BackupStore } from './backup-store.js';
import { BACKUP_NAME, NAME_RULE } from './backup.dto.js';
import { Spool } from './spool.js';

export interface UploadAsk {
  instanceId: string;
  name: string;
  storage: string | undefined;
}

/** How long a storage may take to say whether it can be written, in ms. */
const PATIENCE_MS = 30_000;

/** What can be known of an upload without its body. */
@Injectable()
export class UploadChecks {
  constructor(
    private readonly instances: InstanceStore,
    private readonly backups: BackupStore,
    private readonly storages: StorageRegistry,
    private readonly spool: Spool,
  ) {}

  /**
   * Gives the storage's name.
   * @throws BrokerError invalid_request, unknown_storage, unknown_instance, backup_exists, spool_full, storage_*
   */
  async check(ask: UploadAsk, bytes: number): Promise<string> {
    const { instanceId, name } = ask;
    if (!BACKUP_NAME.test(name)) throw new BrokerError('invalid_request', `backup_name: ${NAME_RULE}`);
    const storage = this.storages.get(ask.storage);
    await this.instances.get(instanceId);
    await this.backups.assertFree(instanceId, name);
    await this.spool.prepare();
    await this.spool.requireRoom(bytes);
    await this.#assertWritable(storage, ask, bytes);
    return storage.name;
  }

  /** Within the transaction that begins the operation. */
  async assertFree({ instanceId, name }: UploadAsk, manager: EntityManager): Promise<void> {
    await assertReady(instanceId, manager);
    await this.backups.assertFree(instanceId, name, manager);
  }

  /** A manifest that the catalogue does not know yet is a backup all the same. */
  async #assertWritable(storage: StorageProvider, { instanceId, name }: UploadAsk, bytes: number): Promise<void> {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const found = storage.stat(manifestKey(instanceId, name), signal).catch((error: unknown) => {
      if (!(error instanceof ObjectNotFoundError)) throw error;
    });
    const [{ freeBytes }, known] = await Promise.all([storage.check(signal), found]).catch((error: unknown) => {
      if (!signal.aborted) throw error;
      throw new BrokerError('storage_unreachable', `storage ${storage.name} does not answer`, { cause: error });
    });
    if (known !== undefined)
      throw new BrokerError(
        'backup_exists',
        `storage ${storage.name} holds a backup ${name} of this instance that is not in the catalogue: rescan the storage`,
      );
    if (freeBytes === undefined || freeBytes >= bytes) return;
    throw new BrokerError(
      'storage_full',
      `storage ${storage.name} has room for ${freeBytes} bytes and ${bytes} are needed: ${bytes - freeBytes} are missing`,
      { details: { missing_bytes: bytes - freeBytes } },
    );
  }
}
