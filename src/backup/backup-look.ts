import { Inject, Injectable } from '@nestjs/common';
import { BROKER_IDENTITY } from '../config/config.module.js';
import { type BrokerIdentity } from '../config/identity.js';
import { BrokerError } from '../errors.js';
import { InstanceStore } from '../instances/instance-store.js';
import { archiveKey, instanceFolder, manifestKey } from '../storage/object-key.js';
import { type StorageProvider } from '../storage/storage-provider.js';
import { StorageRegistry } from '../storage/storage-registry.js';
import { type BackupEntry, BackupStore } from './backup-store.js';
import { type BackupWarningDto } from './backup.dto.js';
import { type Backup, type BackupState } from './backup.entity.js';

/** How long a storage may take to say what it holds of one instance, in ms. */
const PATIENCE_MS = 15_000;

export interface Listed {
  backups: Backup[];
  warnings: BackupWarningDto[];
}

/** Backups as they are now: what the catalogue says is compared with what the storages hold. */
@Injectable()
export class BackupLook {
  constructor(
    private readonly backups: BackupStore,
    private readonly instances: InstanceStore,
    private readonly storages: StorageRegistry,
    @Inject(BROKER_IDENTITY) private readonly identity: BrokerIdentity,
  ) {}

  /**
   * All of an instance, newest first; those of a storage that cannot be asked as they were last known.
   * @throws BrokerError `unknown_instance`, `unknown_storage`; storage_* of the one that was named
   */
  async list(instanceId: string, storage: string | undefined): Promise<Listed> {
    if (storage !== undefined) this.storages.get(storage);
    const backups = await this.backups.of(instanceId, storage);
    if (backups.length === 0) await this.instances.get(instanceId).catch(unlessKept(await this.backups.of(instanceId)));
    const names = [...new Set(storage === undefined ? backups.map((each) => each.storage) : [storage])];
    const warnings = await Promise.all(
      names.map((name) =>
        this.#look(
          name,
          instanceId,
          backups.filter((each) => each.storage === name),
        ),
      ),
    );
    const [first] = warnings.flat();
    if (storage !== undefined && first !== undefined) throw new BrokerError(first.code, first.detail);
    return { backups, warnings: warnings.flat() };
  }

  /** @throws BrokerError `unknown_backup`; storage_* where its storage cannot be asked */
  async one(instanceId: string, name: string, storage: string | undefined): Promise<Backup> {
    const backup = await this.find(instanceId, name, storage);
    const [warning] = await this.#look(backup.storage, instanceId, [backup]);
    if (warning !== undefined) throw new BrokerError(warning.code, warning.detail);
    return backup;
  }

  /** As the catalogue knows it. @throws BrokerError `unknown_backup`, `unknown_storage` */
  async find(instanceId: string, name: string, storage: string | undefined): Promise<Backup> {
    if (storage !== undefined) this.storages.get(storage);
    return this.backups.get(instanceId, name, storage);
  }

  /** @throws BrokerError `storage_unreachable` where the storage is no longer configured */
  storageOf({ storage: name }: Pick<Backup, 'storage'>): StorageProvider {
    const storage = this.storages.find(name);
    if (storage !== undefined) return storage;
    throw new BrokerError('storage_unreachable', `storage ${name} is not configured any more`);
  }

  /** What is not found here may lie in the folder of another node. */
  elsewhere({ storage, node }: Pick<Backup, 'storage' | 'node'>): BrokerError | undefined {
    if (node === null || node === this.identity.node) return undefined;
    return new BrokerError('storage_unreachable', `storage ${storage} of this backup is at the broker node ${node}`, {
      details: { node },
    });
  }

  async #look(name: string, instanceId: string, backups: Backup[]): Promise<BackupWarningDto[]> {
    try {
      const storage = this.storageOf({ storage: name });
      const sizes = await sizesOf(storage, `${instanceFolder(instanceId)}/`, AbortSignal.timeout(PATIENCE_MS));
      const warnings = await Promise.all(backups.map((backup) => this.#compare(backup, sizes)));
      return warnings.flat();
    } catch (error) {
      return [warningOf(name, error)];
    }
  }

  async #compare(backup: Backup, sizes: ReadonlyMap<string, number>): Promise<BackupWarningDto[]> {
    const state = stateOf(backup, sizes);
    const elsewhere = state === 'missing' ? this.elsewhere(backup) : undefined;
    if (elsewhere !== undefined) return [warningOf(backup.storage, elsewhere)];
    if (state !== backup.state) await this.backups.mark(backup, state);
    backup.state = state;
    return [];
  }
}

/** Sizes by key of what lies under a prefix. */
export async function sizesOf(
  storage: StorageProvider,
  prefix: string,
  signal: AbortSignal,
): Promise<Map<string, number>> {
  const sizes = new Map<string, number>();
  for await (const { key, size } of storage.list(prefix, signal)) sizes.set(key, size);
  return sizes;
}

/** Damage that a download has found stays known as long as the archive is there. */
export function stateOf(backup: BackupEntry, sizes: ReadonlyMap<string, number>): BackupState {
  const size = sizes.get(archiveKey(backup.instanceId, backup.name));
  if (size === undefined || !sizes.has(manifestKey(backup.instanceId, backup.name))) return 'missing';
  if (size !== backup.sizeBytes || backup.state === 'damaged') return 'damaged';
  return 'available';
}

function warningOf(storage: string, error: unknown): BackupWarningDto {
  if (error instanceof BrokerError) return { storage, code: error.code, detail: error.message };
  if (error instanceof Error && error.name === 'TimeoutError')
    return {
      storage,
      code: 'storage_unreachable',
      detail: `storage ${storage} did not answer within ${PATIENCE_MS / 1000} s`,
    };
  throw error;
}

/** A deleted instance that still has backups, though none in the named storage, has an empty list. */
function unlessKept(others: Backup[]): (error: unknown) => void {
  return (error) => {
    if (others.length === 0) throw error;
  };
}
