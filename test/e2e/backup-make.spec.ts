import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { testRun } from '../support/test-run.js';
import {
  ended,
  expectProblem,
  backupPath,
  locked,
  makeBackup,
  operationSoon,
  s3Storage,
  TALKATIVE,
  type Tenant,
  tenantOf,
  things,
} from '../support/backups.js';
import { type RunningBroker, startBroker } from '../support/broker.js';
import { type Json } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { type S3Server, startS3Server } from '../support/s3-server.js';

const ODD = 'a/../b c%ä';

let cluster: Cluster;
let s3: S3Server;
let bucket: string;
let broker: RunningBroker;
let tenant: Tenant;

beforeAll(async () => {
  [cluster, s3] = await Promise.all([startCluster(TALKATIVE), startS3Server()]);
  bucket = await s3.makeBucket();
  broker = await startBroker({
    cluster,
    config: { storages: [s3Storage(s3, bucket)] },
  });
  tenant = await tenantOf(broker, cluster, 'one');
  await tenant.run(`CREATE TABLE t AS SELECT i, md5(i::text) AS text FROM generate_series(1, 1000) i;
    CREATE SCHEMA more; CREATE TABLE more."Odd name" AS SELECT 1 AS a; CREATE TABLE nothing ()`);
});

afterAll(async () => {
  await broker.stop();
  await Promise.all([cluster.remove(), s3.remove()]);
});

async function archiveOf(instance: string, backup: Json): Promise<Buffer> {
  const name = `${String(backup['backup_name'])}.dump`;
  if (backup['storage'] === 'local') return readFile(join(broker.home.dataDir, 'backups', instance, name));
  const { Body } = await s3.client.getObject({ Bucket: bucket, Key: `${instance}/${name}` });
  return Buffer.from((await Body?.transformToByteArray()) ?? []);
}

async function manifestOf(instance: string, { backup_name: name, storage }: Json): Promise<Json> {
  const file = `${String(name)}.json`;
  if (storage === 'local')
    return JSON.parse(await readFile(join(broker.home.dataDir, 'backups', instance, file), 'utf8')) as Json;
  const { Body } = await s3.client.getObject({ Bucket: bucket, Key: `${instance}/${file}` });
  return JSON.parse((await Body?.transformToString()) ?? '') as Json;
}

describe('a backup', () => {
  it.each(['local', 's3'])(
    'goes to %s: archive, manifest and catalogue say the same, and nothing else is left',
    async (storage) => {
      const answer = await makeBackup(broker, 'one', storage === 'local' ? {} : { storage });
      expect(answer.status).toBe(201);
      const backup = answer.body;
      expect(backup).toEqual({
        instance_id: 'one',
        backup_name: expect.stringMatching(/^\d{8}T\d{6}Z-[0-9a-f]{6}$/) as string,
        storage,
        state: 'available',
        origin: 'backup',
        created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/) as string,
        size_bytes: expect.any(Number) as number,
        sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
        compression: expect.stringMatching(/^(gzip|zstd)$/) as string,
        database_bytes: expect.any(Number) as number,
        rows: 1001,
        tables: 3,
        server_version: expect.stringMatching(/^\d+\.\d+/) as string,
        dump_version: expect.stringMatching(/^\d+\.\d+/) as string,
        lsn: expect.stringMatching(/^[0-9A-F]+\/[0-9A-F]+$/) as string,
        requested_by: { realm: 'admin', username: 'admin' },
        operation_id: expect.any(String) as string,
      });
      const archive = await archiveOf('one', backup);
      expect(archive.length).toBe(backup['size_bytes']);
      expect(createHash('sha256').update(archive).digest('hex')).toBe(backup['sha256']);
      const manifest = await manifestOf('one', backup);
      expect(manifest).toMatchObject({
        version: 1,
        instance_id: 'one',
        backup_name: backup['backup_name'],
        created_at: backup['created_at'],
        archive: { size_bytes: backup['size_bytes'], sha256: backup['sha256'] },
        dump: {
          lsn: backup['lsn'],
          snapshot_at: backup['created_at'],
          rows: { 'public.t': 1000, 'more."Odd name"': 1, 'public.nothing': 0 },
          row_total: 1001,
        },
      });
      expect((await broker.admin.get(backupPath('one'))).body).toEqual({
        backups: expect.arrayContaining([backup]) as Json[],
        warnings: [],
      });
      expect((await broker.admin.get(backupPath('one', String(backup['backup_name'])))).body).toEqual(backup);
      const left = await things(broker, { server: s3, name: bucket });
      expect(left).toMatchObject({ spool: [], roles: [], uploads: [] });
      expect(await broker.home.estate.state('SELECT * FROM pgboss.job')).toEqual(
        expect.not.arrayContaining([expect.objectContaining({ name: 'backup' })]),
      );
    },
  );

  it('is readable by pg_restore alone', async () => {
    const { body } = await makeBackup(broker, 'one', { name: 'by-hand' });
    const file = join(broker.home.dataDir, 'by-hand.dump');
    await writeFile(file, await archiveOf('one', body));
    const { stdout } = await promisify(execFile)(join(testRun().postgres.bin, 'pg_restore'), ['-l', file]);
    expect(stdout).toMatch(/TABLE DATA public t /);
  });

  it('has the name that was asked for, once in an instance, whatever the storage', async () => {
    const other = await tenantOf(broker, cluster, ODD);
    await other.run('CREATE TABLE t ()');
    for (const instance of ['one', ODD])
      expect(await makeBackup(broker, instance, { name: 'Weekly_1.a-b' })).toMatchObject({
        status: 201,
        body: { instance_id: instance, backup_name: 'Weekly_1.a-b' },
      });
    for (const storage of ['local', 's3'])
      expectProblem(
        await makeBackup(broker, 'one', { name: 'Weekly_1.a-b', storage }),
        409,
        'backup_exists',
        /Weekly_1\.a-b/,
      );
    const answer = await broker.admin.get(backupPath(ODD, 'latest'));
    expect(answer).toMatchObject({ status: 200, body: { instance_id: ODD, tables: 1 } });
    await broker.platform.deprovision(ODD);
  });

  it('that lies in the storage without being in the catalogue is not written over', async () => {
    await s3.client.putObject({ Bucket: bucket, Key: 'one/forgotten.json', Body: '{}' });
    expectProblem(
      await makeBackup(broker, 'one', { name: 'forgotten', storage: 's3' }),
      409,
      'backup_exists',
      /rescan/,
    );
    const { Body } = await s3.client.getObject({ Bucket: bucket, Key: 'one/forgotten.json' });
    expect(await Body?.transformToString()).toBe('{}');
    await s3.client.deleteObject({ Bucket: bucket, Key: 'one/forgotten.json' });
  });
});

describe('a call', () => {
  it.each([
    [{ storage: 'nowhere' }, 'unknown_storage', /expected one of local, s3$/],
    [{ name: 'latest' }, 'invalid_request', /name: expected/],
    [{ name: '../x' }, 'invalid_request', /name: expected/],
    [{ name: '' }, 'invalid_request', /name: expected/],
    [{ name: 'a'.repeat(129) }, 'invalid_request', /name: expected/],
  ])('%j is refused before anything is written', async (query, code, says) => {
    const before = await broker.home.estate.snapshot();
    expectProblem(await makeBackup(broker, 'one', query), 400, code, says);
    expect(await broker.home.estate.snapshot()).toBe(before);
  });

  it('on an unknown instance is 404', async () => {
    const before = await broker.home.estate.snapshot();
    expectProblem(await makeBackup(broker, 'none'), 404, 'unknown_instance');
    expectProblem(await broker.admin.get(backupPath('none')), 404, 'unknown_instance');
    expectProblem(await broker.admin.get(backupPath('one', 'none')), 404, 'unknown_backup');
    expectProblem(await broker.admin.get(backupPath('none', 'latest')), 404, 'unknown_backup');
    expect(await broker.home.estate.snapshot()).toBe(before);
  });

  it.each([
    ['POST', '/backup_instance/one'],
    ['GET', '/backups/one'],
    ['GET', '/backups/one/latest'],
    ['DELETE', '/backups/one/latest'],
    ['GET', '/download_backup/one/latest'],
    ['POST', '/storages/local/rescan'],
  ])('%s %s is for admins', async (method, path) => {
    expectProblem(await broker.admin.as(undefined).send(method, path), 401, 'unauthenticated');
  });

  it('answers 202 at once where that is preferred, and the operation tells the rest', async () => {
    const { answer, phase } = await locked(cluster, tenant, 't', async () => {
      const answer = await makeBackup(broker, 'one', {}, 'respond-async');
      const id = String(answer.body['id']);
      const { phase } = await operationSoon(broker, id, ({ phase }) => phase === 'dumping');
      expectProblem(await makeBackup(broker, 'one'), 409, 'operation_in_progress', /a backup of this instance/);
      expect((await makeBackup(broker, 'one')).body['operation_id']).toBe(id);
      return { answer, phase };
    });
    expect(answer.status).toBe(202);
    expect(answer.headers).toMatchObject({
      location: `/operations/${String(answer.body['id'])}`,
      'preference-applied': 'respond-async',
    });
    expect(phase).toBe('dumping');
    const done = await ended(broker, String(answer.body['id']));
    expect(done).toMatchObject({ kind: 'backup', state: 'succeeded', attempt: 1, result: { rows: 1001 } });
    expect(done).not.toHaveProperty('error');
  });

  it('answers 202 when the work is not done in time, and the work goes on', async () => {
    const impatient = await startBroker({ home: broker.home, config: { http: { sync_wait: '300ms' } } });
    const answer = await locked(cluster, tenant, 't', () => makeBackup(impatient, 'one'));
    expect(answer).toMatchObject({ status: 202, body: { state: 'running', phase: 'dumping' } });
    expect(await ended(broker, String(answer.body['id']))).toMatchObject({ state: 'succeeded' });
    await impatient.stop();
  });

  it('goes on when the client hangs up', async () => {
    const hangUp = new AbortController();
    const id = await locked(cluster, tenant, 't', async () => {
      const call = broker.admin.send('POST', '/backup_instance/one', { signal: hangUp.signal }).catch(() => undefined);
      const [active] = await operationsOf('one', 'running');
      hangUp.abort();
      await call;
      return String(active?.['id']);
    });
    expect(await ended(broker, id)).toMatchObject({ state: 'succeeded' });
  });
});

async function operationsOf(instance: string, state: string): Promise<Json[]> {
  for (;;) {
    const { body } = await broker.admin.get('/operations', { query: { instance_id: instance } });
    const found = (body['operations'] as Json[]).filter((each) => each['state'] === state);
    if (found.length > 0) return found;
  }
}
