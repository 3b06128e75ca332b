import { Injectable } from '@nestjs/common';
import { BrokerError } from '../errors.js';
import { Gate } from '../postgres/gate.js';
import { manifestKey } from '../storage/object-key.js';
import { type StorageProvider } from '../storage/storage-provider.js';
import { type Backup } from './backup.entity.js';
import { LARGEST_MANIFEST, type Manifest, parseManifest } from './manifest.js';

/** Larger manifests are read one at a time. */
const LARGE_BYTES = 1024 * 1024;

/** Reads manifests where they lie. */
@Injectable()
export class ManifestReader {
  /** A rescan reads several at a time, and whoever may write to a bucket can put many large ones there. */
  readonly #large = new Gate(1);

  /**
   * @throws ObjectNotFoundError, storage_*; BrokerError `archive_damaged` where it is no manifest, or that of another
   *   backup
   */
  async at(storage: StorageProvider, key: string, signal: AbortSignal): Promise<Manifest> {
    const manifest =
      (await this.#read(storage, key, LARGE_BYTES, signal)) ??
      (await this.#large.run(signal, () => this.#read(storage, key, LARGEST_MANIFEST, signal)));
    if (manifest === undefined)
      throw new BrokerError(
        'archive_damaged',
        `the manifest of the backup is damaged: it has more than ${LARGEST_MANIFEST} bytes`,
      );
    if (keyOf(manifest) === key) return manifest;
    throw new BrokerError('archive_damaged', 'the manifest of the backup is damaged: it is that of another backup');
  }

  /** Of a backup in the catalogue; one that says other than the catalogue is `archive_damaged`. */
  async of(backup: Backup, storage: StorageProvider, signal: AbortSignal): Promise<Manifest> {
    const manifest = await this.at(storage, manifestKey(backup.instanceId, backup.name), signal);
    if (manifest.archive.sha256 === backup.sha256 && manifest.archive.size_bytes === backup.sizeBytes) return manifest;
    throw new BrokerError(
      'archive_damaged',
      'the manifest of the backup is damaged: the catalogue knows another archive',
    );
  }

  /** Undefined for a larger one. */
  async #read(
    storage: StorageProvider,
    key: string,
    maxBytes: number,
    signal: AbortSignal,
  ): Promise<Manifest | undefined> {
    const { body, size } = await storage.get(key, { signal });
    if (size > maxBytes) {
      body.destroy();
      return undefined;
    }
    const chunks: Buffer[] = [];
    for await (const chunk of body) chunks.push(chunk as Buffer);
    return parseManifest(Buffer.concat(chunks).toString('utf8'));
  }
}

function keyOf({ instance_id, backup_name }: Manifest): string | undefined {
  try {
    return manifestKey(instance_id, backup_name);
  } catch {
    return undefined;
  }
}
