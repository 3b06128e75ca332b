import { createHash } from 'node:crypto';
import { link, rm, symlink } from 'node:fs/promises';
import { type Readable } from 'node:stream';
import { Injectable } from '@nestjs/common';
import { BrokerError } from '../errors.js';
import { type OperationContext } from '../operations/operation-handler.js';
import { archiveKey } from '../storage/object-key.js';
import { LocalStorage } from '../storage/local-storage.js';
import { ObjectNotFoundError, type StorageProvider } from '../storage/storage-provider.js';
import { BackupLook } from './backup-look.js';
import { BackupStore } from './backup-store.js';
import { type Backup } from './backup.entity.js';
import { type Manifest } from './manifest.js';
import { ManifestReader } from './manifest-reader.js';
import { Spool } from './spool.js';

export interface FetchedArchive {
  /** In the spool, of the manifest's sha256. */
  file: string;
  manifest: Manifest;
}

/** The archive of a backup in the spool, where pg_restore can read it several times at once. */
@Injectable()
export class RestoreArchive {
  constructor(
    private readonly backups: BackupStore,
    private readonly look: BackupLook,
    private readonly manifests: ManifestReader,
    private readonly spool: Spool,
  ) {}

  /** @throws BrokerError unknown_backup, also where the one of that name is another one than was seen */
  async find(instanceId: string, name: string, sha256: string): Promise<Backup> {
    const backup = await this.backups.get(instanceId, name);
    if (backup.sha256 === sha256) return backup;
    throw new BrokerError('unknown_backup', `backup ${name} is another one by now`);
  }

  /** A name in the spool, to be written down before. */
  draw(operationId: string): string {
    return this.spool.draw(operationId);
  }

  /**
   * @throws BrokerError archive_missing, archive_damaged where its bytes are not those of the manifest, storage_*,
   *   spool_full
   */
  async fetch(context: OperationContext, backup: Backup, name: string): Promise<FetchedArchive> {
    const storage = this.look.storageOf(backup);
    try {
      const manifest = await this.manifests.of(backup, storage, context.signal);
      const sha256 = await this.#copy(context, storage, backup, name);
      if (sha256 !== manifest.archive.sha256) throw damaged(backup);
      return { file: this.spool.path(name), manifest };
    } catch (error) {
      const seen = error instanceof ObjectNotFoundError ? this.look.elsewhere(backup) : undefined;
      if (seen !== undefined) throw seen;
      if (error instanceof ObjectNotFoundError) await this.backups.mark(backup, 'missing');
      if (error instanceof BrokerError && error.code === 'archive_damaged') await this.backups.mark(backup, 'damaged');
      throw error;
    }
  }

  /** The spooled file, and the list that pg_restore is given beside it. */
  async remove(name: string): Promise<void> {
    await Promise.all([this.spool.remove(name), rm(`${this.spool.path(name)}.list`, { force: true })]);
  }

  async #copy({ progress, signal }: OperationContext, storage: StorageProvider, backup: Backup, name: string) {
    const key = archiveKey(backup.instanceId, backup.name);
    const total_bytes = backup.sizeBytes;
    const here = storage instanceof LocalStorage ? storage.file(key) : undefined;
    if (here === undefined) await this.spool.requireRoom(total_bytes);
    const { body, size } = await storage.get(key, { signal });
    if (size !== total_bytes) {
      body.destroy();
      throw damaged(backup);
    }
    let bytes = 0;
    const tell = (chunk: Buffer) => progress({ bytes: (bytes += chunk.length), total_bytes });
    try {
      return await (here === undefined ? this.#spooled(name, body, tell) : this.#borrowed(here, name, body, tell));
    } finally {
      body.destroy();
    }
  }

  async #spooled(name: string, body: Readable, tell: (chunk: Buffer) => void): Promise<string> {
    const file = await this.spool.create(name);
    try {
      for await (const chunk of body) {
        await file.write(chunk as Buffer);
        tell(chunk as Buffer);
      }
      return (await file.finish()).sha256;
    } catch (error) {
      await file.abandon(error instanceof Error ? error : new Error(String(error)));
      throw error;
    }
  }

  /** What lies on this machine is not copied. A link of its own keeps the bytes when the backup is deleted meanwhile. */
  async #borrowed(from: string, name: string, body: Readable, tell: (chunk: Buffer) => void): Promise<string> {
    await this.spool.prepare();
    await link(from, this.spool.path(name)).catch(() => symlink(from, this.spool.path(name)));
    const hash = createHash('sha256');
    for await (const chunk of body) {
      hash.update(chunk as Buffer);
      tell(chunk as Buffer);
    }
    return hash.digest('hex');
  }
}

function damaged({ name }: Backup): BrokerError {
  return new BrokerError(
    'archive_damaged',
    `the archive of backup ${name} is damaged: its bytes are not those that were stored`,
  );
}
