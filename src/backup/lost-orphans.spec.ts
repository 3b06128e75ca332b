import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Logger } from '@nestjs/common';
import { type BrokerIdentity } from '../config/identity.js';
import { type BrokerConfig } from '../config/schema.js';
import { type InstanceStore } from '../instances/instance-store.js';
import { LocalStorage } from '../storage/local-storage.js';
import { type StorageRegistry } from '../storage/storage-registry.js';
import { BackupLook } from './backup-look.js';
import { type BackupStore } from './backup-store.js';
import { type Backup } from './backup.entity.js';
import { LostOrphans } from './lost-orphans.js';

Logger.overrideLogger(false);

const DAY_MS = 86_400_000;
const never = new AbortController().signal;

let folder: string;
let removed: string[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'orphans-'));
  removed = [];
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

function orphans(): LostOrphans {
  const local = new LocalStorage('local', folder);
  const storages = { find: (name: string) => (name === 'local' ? local : undefined) } as unknown as StorageRegistry;
  const backups = { remove: (_: string, name: string) => Promise.resolve(void removed.push(name)) };
  const store = backups as unknown as BackupStore;
  const look = new BackupLook(store, {} as InstanceStore, storages, { node: 'here' } as BrokerIdentity);
  const config = { backups: { keep_after_deprovision: 7 * DAY_MS } } as BrokerConfig;
  return new LostOrphans(store, storages, look, config);
}

const orphan = (storage: string, node: string | null, days: number) =>
  ({ instanceId: 'i', name: 'b', storage, node, orphanedAt: new Date(Date.now() - days * DAY_MS) }) as Backup;

it.each([
  ['of this node', orphan('local', 'here', 100)],
  ['of no node', orphan('local', null, 100)],
])('leaves a backup %s to be deleted', async (_, backup) => {
  expect(await orphans().isLost(backup, never)).toBe(false);
  expect(removed).toEqual([]);
});

it('leaves a backup of another node to be deleted where its archive is found here', async () => {
  await mkdir(join(folder, 'i'));
  await writeFile(join(folder, 'i', 'b.dump'), 'x');
  expect(await orphans().isLost(orphan('local', 'there', 100), never)).toBe(false);
});

it.each([
  ['of a node that does not come', (days: number) => orphan('local', 'there', days)],
  ['of a storage that is not configured any more', (days: number) => orphan('gone', null, days)],
])('begins no deletion of a backup %s, and forgets it 30 days after its time', async (_, backup) => {
  expect(await orphans().isLost(backup(36), never)).toBe(true);
  expect(removed).toEqual([]);
  expect(await orphans().isLost(backup(38), never)).toBe(true);
  expect(removed).toEqual(['b']);
});
