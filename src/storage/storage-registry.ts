import { join } from 'node:path';
import { Inject, Injectable, Logger, type OnModuleDestroy } from '@nestjs/common';
import { BROKER_CONFIG } from '../config/config.module.js';
import { type BrokerConfig } from '../config/schema.js';
import { type StorageConfig } from '../config/storages.js';
import { BrokerError } from '../errors.js';
import { LocalStorage } from './local-storage.js';
import { S3Storage } from './s3-storage.js';
import { type StorageProvider } from './storage-provider.js';

/** Where backups go unless a storage is named; always there. */
const DEFAULT_STORAGE = 'local';

/** The configured storages by name. */
@Injectable()
export class StorageRegistry implements OnModuleDestroy {
  readonly #logger = new Logger('Storage');
  readonly #storages = new Map<string, StorageProvider>();

  constructor(@Inject(BROKER_CONFIG) config: BrokerConfig) {
    const configured = config.storages.some(({ name }) => name === DEFAULT_STORAGE)
      ? config.storages
      : [{ name: DEFAULT_STORAGE, type: 'local' as const }, ...config.storages];
    for (const each of configured) this.#storages.set(each.name, providerOf(each, config.data_dir));
  }

  /** In the order of the configuration, `local` first where that does not name it. */
  get names(): string[] {
    return [...this.#storages.keys()];
  }

  /** @throws BrokerError `unknown_storage` that lists the known ones */
  get(name: string = DEFAULT_STORAGE): StorageProvider {
    const storage = this.find(name);
    if (storage !== undefined) return storage;
    throw new BrokerError('unknown_storage', `storage: unknown, expected one of ${this.names.join(', ')}`);
  }

  /** Undefined for one that is not configured (any more). */
  find(name: string): StorageProvider | undefined {
    return this.#storages.get(name);
  }

  all(): StorageProvider[] {
    return [...this.#storages.values()];
  }

  /** Makes folders that are not there yet. What fails shows when the storage is used. */
  async prepare(): Promise<void> {
    for (const storage of this.all()) {
      if (!(storage instanceof LocalStorage)) continue;
      await storage.prepare().catch((error: unknown) => this.#logger.warn(String(error)));
    }
  }

  onModuleDestroy(): void {
    for (const storage of this.all()) storage.close();
  }
}

function providerOf(config: StorageConfig, dataDir: string): StorageProvider {
  if (config.type === 's3') return new S3Storage(config);
  return new LocalStorage(config.name, config.path ?? join(dataDir, 'backups'), config.shared === true);
}
