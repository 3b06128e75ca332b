import { Injectable } from '@nestjs/common';
import { BrokerError } from '../errors.js';
import { manifestKey } from '../storage/object-key.js';
import { type StorageProvider } from '../storage/storage-provider.js';
import { type Backup } from './backup.entity.js';
import { LARGEST_MANIFEST, type Manifest, parseManifest } from './manifest.js';

/** Reads manifests where they lie. */
@Injectable()
export class ManifestReader {
  /**
   * @throws ObjectNotFoundError, storage_*; BrokerError `archive_damaged` where it is no manifest, or that of another
   *   backup
   */
  async at(storage: StorageProvider, key: string, signal: AbortSignal): Promise<Manifest> {
    const { body, size } = await storage.get(key, { signal });
    if (size > LARGEST_MANIFEST) {
      body.destroy();
      throw new BrokerError('archive_damaged', `the manifest of the backup is damaged: it has ${size} bytes`);
    }
    const chunks: Buffer[] = [];
    for await (const chunk of body) chunks.push(chunk as Buffer);
    const manifest = parseManifest(Buffer.concat(chunks).toString('utf8'));
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
}

function keyOf({ instance_id, backup_name }: Manifest): string | undefined {
  try {
    return manifestKey(instance_id, backup_name);
  } catch {
    return undefined;
  }
}
