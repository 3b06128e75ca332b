import { createHash, randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BrokerIdentity } from '../config/identity.js';
import { type BrokerConfig } from '../config/schema.js';
import { type BrokerError } from '../errors.js';
import { type OperationContext } from '../operations/operation-handler.js';
import { LocalStorage } from '../storage/local-storage.js';
import { type StorageRegistry } from '../storage/storage-registry.js';
import { ArchiveKeeping } from './archive-keeping.js';
import { type BackupStore } from './backup-store.js';
import { type Manifest } from './manifest.js';
import { Spool } from './spool.js';

const ARCHIVE = Buffer.from('an archive');

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keeping-'));
  await mkdir(join(folder, 'spool'));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

function keeping(storage: LocalStorage): ArchiveKeeping {
  const config = { spool: { path: join(folder, 'spool') }, operations: { parallel: 1, upload_retry: 60_000 } };
  return new ArchiveKeeping(
    { get: () => storage } as unknown as StorageRegistry,
    new Spool(config as unknown as BrokerConfig),
    {} as BackupStore,
    config as unknown as BrokerConfig,
    { node: 'node' } as BrokerIdentity,
  );
}

/** Of an attempt that goes on after the archive was spooled. */
function goingOn(waiting: (error: BrokerError) => Promise<void>): OperationContext {
  const archive = { size_bytes: ARCHIVE.length, sha256: createHash('sha256').update(ARCHIVE).digest('hex') };
  const manifest = { instance_id: 'i', backup_name: 'b', archive } as unknown as Manifest;
  const memo = { manifest, storage: 'local', name: 'b', spool: 'spooled', node: 'node' };
  return {
    operation: { id: randomUUID(), instanceId: 'i', memo },
    signal: new AbortController().signal,
    phase: () => Promise.resolve(),
    progress: () => undefined,
    remember: () => Promise.resolve(),
    waiting,
  } as unknown as OperationContext;
}

it('waits for the folder where the archive lies already, after a crash between its renaming and the note of it', async () => {
  const [root, away] = [join(folder, 'backups'), join(folder, 'away')];
  await mkdir(join(root, 'i'), { recursive: true });
  await writeFile(join(root, 'i', 'b.dump'), ARCHIVE);
  await rename(root, away);
  const codes: string[] = [];
  const context = goingOn(async ({ code }) => {
    codes.push(code);
    await rename(away, root);
  });
  const entry = await keeping(new LocalStorage('local', root)).keep(context, 'uploading');
  expect(entry).toMatchObject({ instanceId: 'i', name: 'b', storage: 'local' });
  expect(codes).toEqual(['storage_missing']);
});

it('waits for a spool that cannot be read', async () => {
  const root = join(folder, 'backups');
  await mkdir(root);
  const spooled = join(folder, 'spool', 'spooled');
  await writeFile(spooled, ARCHIVE);
  const storage = new LocalStorage('local', root);
  const codes: string[] = [];
  const putFile = storage.putFile.bind(storage);
  let tries = 0;
  storage.putFile = (key, file, options) => putFile(key, ++tries === 1 ? folder : file, options);
  const context = goingOn(({ code }) => Promise.resolve(void codes.push(code)));
  await keeping(storage).keep(context, 'uploading');
  expect(codes).toEqual(['storage_failed']);
});

it('says that an archive which is neither spooled nor stored is lost', async () => {
  const root = join(folder, 'backups');
  await mkdir(root);
  const context = goingOn(() => Promise.reject(new Error('no further try helps')));
  const kept = keeping(new LocalStorage('local', root)).keep(context, 'uploading');
  await expect(kept).rejects.toMatchObject({ code: 'archive_damaged' });
});

it('gives the manifest up in time also where the archive is stored already, and the broker has restarted since', async () => {
  const context = goingOn(() => Promise.reject(new Error('its time is over')));
  Object.assign(context.operation.memo, { stored: true, node: null, node_until: null });
  Object.assign(context.operation.memo, { retry_until: new Date(Date.now() - 1).toISOString() });
  const kept = keeping(new LocalStorage('local', join(folder, 'away'))).keep(context, 'uploading');
  await expect(kept).rejects.toMatchObject({ code: 'storage_missing' });
});
