import { Inject, Injectable } from '@nestjs/common';
import { BROKER_CONFIG } from '../config/config.module.js';
import { type BrokerConfig } from '../config/schema.js';
import { BrokerError } from '../errors.js';
import { type ServiceInstance } from '../instances/service-instance.entity.js';
import { type Compression } from '../postgres/dump-facts.js';
import { type CatalogFacts } from '../postgres/dump-snapshot.js';
import { Dumps } from '../postgres/dumps.js';
import { type TenantNames } from '../postgres/tenant.js';
import { manifestKey } from '../storage/object-key.js';
import { ObjectNotFoundError, type StorageProvider } from '../storage/storage-provider.js';
import { BackupStore } from './backup-store.js';
import { Spool } from './spool.js';

/** What a new backup may be larger than the last one, for the same size of the database. */
const MARGIN = 1.2;

/** Of the database's size, where there is no backup to go by. Indexes are not dumped, the rest is compressed. */
const SHARE = 0.5;

/** The catalogs of an empty database, which are not dumped. */
const EMPTY_DATABASE = 8 * 1024 * 1024;

export interface Prepared {
  /** About how large the archive will be, in bytes. */
  sizeHint: number;
  /** The plan's; undefined: the best that client and server know. */
  compression: Compression | undefined;
  catalog: CatalogFacts;
}

/** What can be known before a dump is made: whoever cannot keep it, or not make it, says so at once. */
@Injectable()
export class BackupPreflight {
  constructor(
    private readonly dumps: Dumps,
    private readonly backups: BackupStore,
    private readonly spool: Spool,
    @Inject(BROKER_CONFIG) private readonly config: BrokerConfig,
  ) {}

  /**
   * @throws BrokerError storage_*, `storage_full`, `spool_full`, `backup_exists`, `dump_failed`, `server_unreachable`
   */
  async check(
    instance: ServiceInstance,
    storage: StorageProvider,
    name: string | undefined,
    signal: AbortSignal,
  ): Promise<Prepared> {
    const [{ databaseBytes, catalog }, { freeBytes }, known] = await Promise.all([
      this.dumps.preflight(namesOf(instance), signal),
      storage.check(signal),
      this.backups.of(instance.id),
      name === undefined ? undefined : this.#assertFree(storage, instance.id, name, signal),
    ]);
    const last = known.find(({ origin }) => origin === 'backup');
    const sizeHint = estimate(databaseBytes, last);
    await this.spool.requireRoom(sizeHint);
    if (freeBytes !== undefined && freeBytes < sizeHint)
      throw new BrokerError(
        'storage_full',
        `storage ${storage.name} has room for ${freeBytes} bytes and about ${sizeHint} are needed: ${sizeHint - freeBytes} are missing`,
        { details: { missing_bytes: sizeHint - freeBytes } },
      );
    return { sizeHint, compression: this.#compressionOf(instance), catalog };
  }

  /** A manifest that the catalogue does not know yet is a backup all the same. */
  async #assertFree(storage: StorageProvider, instanceId: string, name: string, signal: AbortSignal): Promise<void> {
    const found = await storage.stat(manifestKey(instanceId, name), signal).catch((error: unknown) => {
      if (error instanceof ObjectNotFoundError) return undefined;
      throw error;
    });
    if (found === undefined) return;
    throw new BrokerError(
      'backup_exists',
      `storage ${storage.name} holds a backup ${name} of this instance that is not in the catalogue: rescan the storage`,
    );
  }

  #compressionOf({ serviceId, planId }: ServiceInstance): Compression | undefined {
    const service = this.config.catalog.services.find(({ id }) => id === serviceId);
    return service?.plans.find(({ id }) => id === planId)?.backup.compression;
  }
}

export function namesOf({ server, database, ownerRole, connectRole, readerRole }: ServiceInstance): TenantNames {
  return { server, database, ownerRole, connectRole, readerRole };
}

function estimate(
  databaseBytes: number,
  last: { sizeBytes: number; databaseBytes: number | null } | undefined,
): number {
  if (last === undefined || !last.databaseBytes) return Math.ceil(Math.max(0, databaseBytes - EMPTY_DATABASE) * SHARE);
  const growth = Math.max(1, databaseBytes / last.databaseBytes);
  return Math.ceil(last.sizeBytes * growth * MARGIN);
}
