import { Readable } from 'node:stream';
import { BrokerError } from '../errors.js';
import { type OperationContext } from '../operations/operation-handler.js';
import { LocalStorage } from '../storage/local-storage.js';
import { type StorageProvider } from '../storage/storage-provider.js';
import { type BackupLook } from './backup-look.js';
import { type BackupStore } from './backup-store.js';
import { type Backup } from './backup.entity.js';
import { type ManifestReader } from './manifest-reader.js';
import { RestoreArchive } from './restore-archive.js';
import { type Spool } from './spool.js';

const FULL = new BrokerError('spool_full', 'the spool is full');
const refused = () => Promise.reject(FULL);

class Folder extends LocalStorage {
  constructor(private readonly body: Readable) {
    super('local', '/nowhere');
  }

  override get() {
    return Promise.resolve({ body: this.body, size: 3, etag: '"e"', modifiedAt: new Date(0) });
  }
}

it.each([
  ['remote', (body: Readable) => ({ get: () => Promise.resolve({ body, size: 3 }) }) as unknown as StorageProvider],
  ['local', (body: Readable) => new Folder(body)],
])('closes the archive in a %s storage where the spool does not take it', async (_, storageOf) => {
  const body = Readable.from([Buffer.from('abc')]);
  const archive = new RestoreArchive(
    {} as BackupStore,
    { storageOf: () => storageOf(body), elsewhere: () => undefined } as unknown as BackupLook,
    { of: () => Promise.resolve({}) } as unknown as ManifestReader,
    { requireRoom: () => Promise.resolve(), create: refused, prepare: refused } as unknown as Spool,
  );
  const context = { progress: () => undefined, signal: new AbortController().signal } as unknown as OperationContext;
  const backup = { instanceId: 'i', name: 'b', sizeBytes: 3 } as Backup;
  await expect(archive.fetch(context, backup, 'spooled')).rejects.toBe(FULL);
  expect(body.destroyed).toBe(true);
});
