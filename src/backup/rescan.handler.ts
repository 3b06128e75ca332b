import { Injectable } from '@nestjs/common';
import { BrokerError } from '../errors.js';
import { type OperationContext, type OperationHandler, type Outcome } from '../operations/operation-handler.js';
import { archiveKey, manifestKey, parseKey, type ParsedKey } from '../storage/object-key.js';
import { ObjectNotFoundError, type StorageProvider } from '../storage/storage-provider.js';
import { StorageRegistry } from '../storage/storage-registry.js';
import { ArchiveKeeping } from './archive-keeping.js';
import { sizesOf, stateOf } from './backup-look.js';
import { BackupStore } from './backup-store.js';
import { type FoundBackupDto } from './backup.dto.js';
import { type Backup } from './backup.entity.js';
import { entryOf } from './manifest.js';
import { ManifestReader } from './manifest-reader.js';

const AT_ONCE = 8;

export interface RescanInput {
  storage: string;
}

/** What a rescan has found; the result of its operation. */
interface Findings {
  added: FoundBackupDto[];
  missing: FoundBackupDto[];
  damaged: FoundBackupDto[];
}

/** What the storage holds, and what the catalogue knew of it, by the key of the manifest. */
interface Held {
  sizes: ReadonlyMap<string, number>;
  byKey: ReadonlyMap<string, Backup>;
}

/** Rebuilds the catalogue of one storage from the manifests that lie in it. Nothing in the storage is changed. */
@Injectable()
export class RescanHandler implements OperationHandler {
  readonly kind = 'rescan';

  constructor(
    private readonly backups: BackupStore,
    private readonly storages: StorageRegistry,
    private readonly keeping: ArchiveKeeping,
    private readonly manifests: ManifestReader,
  ) {}

  async run(context: OperationContext): Promise<Outcome> {
    const storage = this.storages.get((context.operation.input as unknown as RescanInput).storage);
    await context.phase('listing');
    const known = await this.backups.ofStorage(storage.name, this.keeping.nodeOf(storage));
    const sizes = await sizesOf(storage, '', context.signal);
    const findings: Findings = { added: [], missing: [], damaged: [] };
    const byKey = new Map(known.map((backup) => [manifestKey(backup.instanceId, backup.name), backup]));
    await context.phase('reading');
    await this.#readAll(context, storage, { sizes, byKey }, findings);
    for (const backup of byKey.values()) await this.#compare(backup, sizes, findings);
    for (const list of Object.values(findings) as FoundBackupDto[][]) list.sort(byName);
    return { result: { ...findings } };
  }

  async #readAll(context: OperationContext, storage: StorageProvider, held: Held, findings: Findings): Promise<void> {
    const keys = [...held.sizes.keys()].flatMap((key) => {
      const parsed = parseKey(key);
      return parsed?.kind === 'manifest' ? [{ key, parsed }] : [];
    });
    let next = 0;
    const read = async () => {
      for (let at = next++; at < keys.length; at = next++) {
        context.progress({ percent: Math.floor((at / keys.length) * 100) });
        const { key, parsed } = keys[at] as (typeof keys)[number];
        await this.#read(context.signal, storage, parsed, { ...held, key }, findings);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, read));
  }

  async #read(
    signal: AbortSignal,
    storage: StorageProvider,
    parsed: ParsedKey,
    { key, sizes, byKey }: Held & { key: string },
    findings: Findings,
  ): Promise<void> {
    const at = { instance_id: parsed.instanceId ?? null, backup_name: parsed.backupName };
    try {
      const manifest = await this.manifests.at(storage, key, signal);
      const found = { instance_id: manifest.instance_id, backup_name: manifest.backup_name };
      if (byKey.has(key) || (await this.backups.exists(found.instance_id, found.backup_name, storage.name))) return;
      const entry = entryOf(manifest, { name: storage.name, node: this.keeping.nodeOf(storage) });
      entry.state = stateOf(entry, sizes);
      if (!(await this.backups.enter(entry))) {
        findings.damaged.push({ ...found, reason: 'the instance has a backup of this name in another storage' });
        return;
      }
      if (entry.state === 'available') findings.added.push(found);
      else if (entry.state === 'missing') findings.missing.push({ ...found, reason: 'there is no archive' });
      else findings.damaged.push({ ...found, reason: 'the archive has another size' });
    } catch (error) {
      // It was deleted since it was listed.
      if (error instanceof ObjectNotFoundError) return;
      if (!(error instanceof BrokerError && error.code === 'archive_damaged')) throw error;
      const known = byKey.get(key);
      if (known === undefined) findings.damaged.push({ ...at, reason: error.message });
      else known.state = await this.#damaged(known);
    }
  }

  async #damaged(backup: Backup): Promise<'damaged'> {
    await this.backups.mark(backup, 'damaged');
    return 'damaged';
  }

  /** Those that were known before. */
  async #compare(backup: Backup, sizes: ReadonlyMap<string, number>, findings: Findings): Promise<void> {
    const state = stateOf(backup, sizes);
    if (state !== backup.state) await this.backups.mark(backup, state);
    const found = { instance_id: backup.instanceId, backup_name: backup.name };
    if (state === 'missing') {
      const archive = sizes.has(archiveKey(backup.instanceId, backup.name));
      const manifest = sizes.has(manifestKey(backup.instanceId, backup.name));
      if (archive || manifest)
        findings.missing.push({ ...found, reason: `there is no ${archive ? 'manifest' : 'archive'}` });
      else findings.missing.push(found);
    }
    if (state === 'damaged') findings.damaged.push({ ...found, reason: 'the archive is not as its manifest says' });
  }
}

function byName(one: FoundBackupDto, other: FoundBackupDto): number {
  const [a, b] = [one, other].map((each) => `${each.instance_id ?? ''}\0${each.backup_name}`) as [string, string];
  return a < b ? -1 : a > b ? 1 : 0;
}
