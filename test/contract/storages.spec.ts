import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { Test, type TestingModule } from '@nestjs/testing';
import { ALL_RIGHTS } from '../../src/auth/rights.js';
import { BrokerConfigModule } from '../../src/config/config.module.js';
import { type BrokerConfig } from '../../src/config/schema.js';
import { type StorageConfig } from '../../src/config/storages.js';
import { StorageModule } from '../../src/storage/storage.module.js';
import { StoragesController } from '../../src/storage/storages.controller.js';
import { StorageRegistry } from '../../src/storage/storage-registry.js';
import { s3Config } from '../support/s3-bench.js';
import { startS3Server, type S3Server } from '../support/s3-server.js';
import { everythingIn, patient, read } from '../support/storage-bench.js';

let server: S3Server;
let bucket: string;
let dataDir: string;
let module: TestingModule;
beforeAll(async () => {
  server = await startS3Server();
  bucket = await server.makeBucket();
});
afterAll(() => server.remove());
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'broker-data-'));
});
afterEach(async () => {
  await module.close();
  rmSync(dataDir, { recursive: true, force: true });
});

async function configured(storages: StorageConfig[]): Promise<{ registry: StorageRegistry; list: () => unknown }> {
  const config = { data_dir: dataDir, storages } as unknown as BrokerConfig;
  const identity = { node: 'node', process: 'process', runner: 'node/process' };
  module = await Test.createTestingModule({
    imports: [BrokerConfigModule.for(config, identity), StorageModule],
  }).compile();
  const registry = module.get(StorageRegistry);
  await registry.prepare();
  return { registry, list: () => module.get(StoragesController).list({ rights: ALL_RIGHTS }) };
}

describe('the storages', () => {
  it('always have `local`, in the data folder, and it is the default', async () => {
    const { registry } = await configured([]);
    expect(registry.names).toEqual(['local']);
    expect(registry.get()).toBe(registry.get('local'));
    await registry.get().put('a/1.dump', Readable.from(['x']), { signal: patient() });
    expect(statSync(join(dataDir, 'backups', 'a', '1.dump')).size).toBe(1);
  });

  it('may be several of one type, each in a place of its own', async () => {
    const more = { name: 'more', type: 'local' as const, path: join(dataDir, 'more') };
    const [one, two] = ['one/', 'two/'].map((prefix) => s3Config(server, bucket, { name: prefix.slice(0, 3), prefix }));
    const { registry } = await configured([more, ...[one, two].filter((each) => each !== undefined)]);
    expect(registry.names).toEqual(['local', 'more', 'one', 'two']);
    expect(registry.all().map(({ name, type }) => [name, type])).toEqual([
      ['local', 'local'],
      ['more', 'local'],
      ['one', 's3'],
      ['two', 's3'],
    ]);
    for (const storage of registry.all())
      await storage.put('a/1.dump', Readable.from([storage.name]), { signal: patient() });
    for (const storage of registry.all()) expect((await read(storage, 'a/1.dump')).toString()).toBe(storage.name);
  });

  it('are listed where an unknown one is asked for', async () => {
    const { registry } = await configured([s3Config(server, bucket)]);
    expect(() => registry.get('tape')).toThrow(/expected one of local, s3$/);
    expect(() => registry.get('__proto__')).toThrow(
      expect.objectContaining({ code: 'unknown_storage', status: 400 }) as Error,
    );
  });
});

describe('GET /storages', () => {
  it('is for admins', () => {
    const list = Object.getOwnPropertyDescriptor(StoragesController.prototype, 'list')?.value as object;
    expect(Reflect.getMetadata('__fastify_route_config__', list)).toMatchObject({ realm: 'admin' });
  });

  it('tells of each whether it can be written, room where it is known, and the storage’s own error', async () => {
    const { list } = await configured([
      s3Config(server, bucket),
      s3Config(server, 'never-made', { name: 'missing' }),
      s3Config({ ...server, keys: server.stranger }, bucket, { name: 'denied' }),
      { name: 'gone', type: 'local', path: '/dev/null/folder' },
    ]);
    const answer = await list();
    expect(answer).toEqual({
      storages: [
        { name: 'local', type: 'local', reachable: true, free_bytes: expect.any(Number) as number },
        { name: 's3', type: 's3', reachable: true },
        {
          name: 'missing',
          type: 's3',
          reachable: false,
          error: { code: 'storage_missing', detail: expect.stringMatching(/NoSuchBucket/) as string },
        },
        {
          name: 'denied',
          type: 's3',
          reachable: false,
          error: { code: 'storage_denied', detail: expect.stringMatching(/AccessDenied/) as string },
        },
        {
          name: 'gone',
          type: 'local',
          reachable: false,
          error: { code: 'storage_missing', detail: expect.stringMatching(/not a directory/) as string },
        },
      ],
    });
    for (const keys of [server.keys, server.stranger]) expect(everythingIn(answer)).not.toContain(keys.secretAccessKey);
  });
});
