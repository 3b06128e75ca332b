import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { Inject, Injectable } from '@nestjs/common';
import { type EntityManager } from 'typeorm';
import { BROKER_CONFIG, BROKER_IDENTITY } from '../config/config.module.js';
import { type BrokerIdentity } from '../config/identity.js';
import { type BrokerConfig } from '../config/schema.js';
import { BrokerError } from '../errors.js';
import { type OperationContext, type Outcome } from '../operations/operation-handler.js';
import { Gate } from '../postgres/gate.js';
import { archiveKey, manifestKey } from '../storage/object-key.js';
import { StorageRegistry } from '../storage/storage-registry.js';
import { ObjectNotFoundError, type StorageProvider } from '../storage/storage-provider.js';
import { type ArchiveMemo, memoOf } from './backup-memo.js';
import { type BackupEntry, BackupStore } from './backup-store.js';
import { backupDto } from './backup.dto.js';
import { entryOf, type Manifest, manifestText } from './manifest.js';
import { retried } from './retry.js';
import { Spool } from './spool.js';
import { SpoolDamagedError } from './spool-reading.js';

/** The node itself gives up first; after that time another one says that it has not come back. */
const NODE_MARGIN_MS = 10 * 60_000;

/** The upload that runs beside the dump. */
export interface LiveUpload {
  /** Resolves with the error that it ended of, or with nothing; never rejects. */
  ended: Promise<BrokerError | undefined>;
}

/**
 * The way of a spooled archive into its storage: archive, manifest, end of the spool. What fails is repeated from the
 * spool until `operations.upload_retry` is over, whatever the error, also after a restart and with the parts that are
 * already there. Once its manifest is written down, an operation goes on here.
 */
@Injectable()
export class ArchiveKeeping {
  /** A storage that comes back must not meet every upload that has waited for it. */
  readonly #gate: Gate;

  constructor(
    private readonly storages: StorageRegistry,
    private readonly spool: Spool,
    private readonly backups: BackupStore,
    @Inject(BROKER_CONFIG) private readonly config: BrokerConfig,
    @Inject(BROKER_IDENTITY) private readonly identity: BrokerIdentity,
  ) {
    this.#gate = new Gate(config.operations.parallel);
  }

  /** What is written down once the archive is spooled: from now on there is no second dump. */
  spooled(manifest: Manifest): ArchiveMemo {
    const until = this.#retryUntil();
    return {
      manifest,
      retry_until: until.toISOString(),
      node: this.identity.node,
      node_until: new Date(until.getTime() + NODE_MARGIN_MS).toISOString(),
    };
  }

  /**
   * Archive and manifest into the storage that the memo names.
   * @param phase shown while the archive is stored
   * @throws BrokerError the last error once `operations.upload_retry` is over
   */
  async keep(context: OperationContext, phase: 'uploading' | 'storing', live?: LiveUpload): Promise<BackupEntry> {
    const memo = memoOf(context.operation);
    const { manifest } = memo;
    if (manifest === undefined) throw new Error('there is no spooled archive to keep');
    const storage = this.storages.get(memo.storage);
    if (memo.stored !== true) {
      this.#assertHere(memo);
      await context.phase(phase, { bytes: 0, total_bytes: manifest.archive.size_bytes });
      await this.#persistently(context, phase, (tries) => this.#store(context, storage, manifest, tries, live));
      // What lies in a folder is found again by its name and its digest.
      if (storage.type !== 'local') {
        const retry_until = this.#retryUntil().toISOString();
        await context.remember({ stored: true, retry_until, token: null, node: null, node_until: null });
      }
    }
    await context.phase('recording');
    await this.#persistently(context, 'recording', () => this.#record(storage, manifest, context.signal));
    if (typeof memo.spool === 'string') await this.spool.remove(memo.spool);
    return entryOf(manifest, { name: storage.name, node: this.nodeOf(storage) });
  }

  /** The end of the operation: the backup is its result, and in the catalogue. */
  kept(entry: BackupEntry, further?: (manager: EntityManager) => Promise<void>): Outcome {
    return {
      result: { ...backupDto(entry) },
      forget: ['manifest'],
      conclude: async (manager) => {
        if (!(await this.backups.record(entry, manager)))
          throw new BrokerError('backup_exists', `this instance has a backup ${entry.name} in another storage`);
        await further?.(manager);
      },
    };
  }

  /** The node that the catalogue notes: a folder is reached through its own machine. */
  nodeOf(storage: StorageProvider): string | null {
    return storage.ofOneNode ? this.identity.node : null;
  }

  #retryUntil(): Date {
    return new Date(Date.now() + this.config.operations.upload_retry);
  }

  #persistently(context: OperationContext, phase: string, work: (tries: number) => Promise<void>): Promise<void> {
    const { retry_until: limit } = memoOf(context.operation);
    const until = limit === undefined ? this.#retryUntil() : new Date(limit);
    const { signal } = context;
    return retried((tries) => (tries === 1 ? work(1) : this.#gate.run(signal, () => work(tries))), {
      until,
      signal,
      waiting: (error, nextTryAt) => context.waiting(error, nextTryAt),
      again: () => context.phase(phase),
    });
  }

  async #store(
    context: OperationContext,
    storage: StorageProvider,
    manifest: Manifest,
    tries: number,
    live: LiveUpload | undefined,
  ): Promise<void> {
    const { signal, operation } = context;
    if (tries === 1 && live !== undefined) {
      const error = await live.ended;
      if (error === undefined) return;
      throw error;
    }
    const memo = memoOf(operation);
    const key = archiveKey(manifest.instance_id, manifest.backup_name);
    const name = memo.spool ?? '';
    const { size_bytes: total } = manifest.archive;
    if (!(await this.spool.has(name))) return this.#assertTaken(storage, key, manifest, signal);
    const onProgress = (bytes: number) => context.progress({ bytes, total_bytes: total });
    const { size } =
      storage.type === 'local'
        ? await storage.putFile(key, this.spool.path(name), { signal, onProgress })
        : await storage.put(key, this.spool.read(name, manifest.archive), {
            signal,
            sizeHint: total,
            onProgress,
            resumable: resumableBy(context),
          });
    if (size !== total) throw new SpoolDamagedError(`${size} bytes were stored of ${total}`);
  }

  /** A crash came between the renaming of the spooled file and the note of it. */
  async #assertTaken(storage: StorageProvider, key: string, manifest: Manifest, signal: AbortSignal): Promise<void> {
    const { body } = await storage.get(key, { signal }).catch((error: unknown) => {
      if (!(error instanceof ObjectNotFoundError)) throw error;
      throw new SpoolDamagedError('it is not there any more', error);
    });
    if ((await sha256Of(body)) !== manifest.archive.sha256) throw new SpoolDamagedError('another archive is stored');
  }

  async #record(storage: StorageProvider, manifest: Manifest, signal: AbortSignal): Promise<void> {
    const key = manifestKey(manifest.instance_id, manifest.backup_name);
    const text = Buffer.from(manifestText(manifest));
    await storage.put(key, Readable.from([text]), { signal, sizeHint: text.length });
  }

  #assertHere({ node }: ArchiveMemo): void {
    if (typeof node !== 'string' || node === this.identity.node) return;
    throw new BrokerError(
      'storage_unreachable',
      `the archive waits in the spool of the broker node ${node}, which has not come back in time`,
    );
  }
}

export function resumableBy(context: OperationContext) {
  const { token } = memoOf(context.operation);
  return {
    ...(typeof token === 'string' && { token }),
    begun: (begun: string) => context.remember({ token: begun }),
  };
}

async function sha256Of(body: Readable): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of body) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
