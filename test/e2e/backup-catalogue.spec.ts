import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { backupPath, ended, expectProblem, makeBackup, s3Storage, tenantOf, things } from '../support/backups.js';
import { type RunningBroker, startBroker } from '../support/broker.js';
import { type Json } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { type S3Server, startS3Server } from '../support/s3-server.js';
import { until } from '../support/until.js';

let cluster: Cluster;
let s3: S3Server;
let bucket: string;
let broker: RunningBroker;

beforeAll(async () => {
  [cluster, s3] = await Promise.all([startCluster(), startS3Server()]);
  bucket = await s3.makeBucket();
  broker = await startBroker({ cluster, config: settings() });
  await tenantOf(broker, cluster, 'one');
});

afterAll(async () => {
  await broker.stop();
  await Promise.all([cluster.remove(), s3.remove()]);
});

function settings(more: Json = {}): Json {
  return { storages: [s3Storage(s3, bucket)], ...more };
}

function localFile(...names: string[]): string {
  return join(broker.home.dataDir, 'backups', ...names);
}

async function listed(instance: string, query: Record<string, string> = {}): Promise<string[]> {
  const { body } = await broker.admin.get(backupPath(instance), { query });
  return (body['backups'] as Json[]).map(({ backup_name: name, state }) => `${String(name)} ${String(state)}`);
}

describe('the list', () => {
  it('has the backups of all storages, newest first, or those of one', async () => {
    expect(await listed('one')).toEqual([]);
    for (const [name, storage] of [
      ['a', 'local'],
      ['b', 's3'],
      ['c', 'local'],
    ] as const)
      await makeBackup(broker, 'one', { name, storage });
    expect(await listed('one')).toEqual(['c available', 'b available', 'a available']);
    expect(await listed('one', { storage: 'local' })).toEqual(['c available', 'a available']);
    expectProblem(await broker.admin.get(backupPath('one'), { query: { storage: 'x' } }), 400, 'unknown_storage');
    const latest = await broker.admin.get(backupPath('one', 'latest'), { query: { storage: 's3' } });
    expect(latest.body).toMatchObject({ backup_name: 'b' });
    expect((await broker.admin.get(backupPath('one', 'latest'))).body).toMatchObject({ backup_name: 'c' });
  });

  it('warns of a storage that cannot be reached; named, it is an error', async () => {
    await s3.stop();
    const { status, body } = await broker.admin.get(backupPath('one'));
    expect(status).toBe(200);
    expect(body).toMatchObject({
      backups: [{ backup_name: 'c' }, { backup_name: 'b', state: 'available' }, { backup_name: 'a' }],
      warnings: [{ storage: 's3', code: 'storage_unreachable', detail: expect.stringMatching(/storage s3/) as string }],
    });
    for (const answer of [
      await broker.admin.get(backupPath('one'), { query: { storage: 's3' } }),
      await broker.admin.get(backupPath('one', 'b')),
      await broker.admin.get('/download_backup/one/b'),
    ]) {
      expectProblem(answer, 502, 'storage_unreachable', /storage s3/);
      expect(answer.text).not.toContain(s3.keys.secretAccessKey);
    }
    expect(await listed('one', { storage: 'local' })).toEqual(['c available', 'a available']);
    await s3.start();
  });
});

describe('a deletion', () => {
  it('removes manifest, archive and row', async () => {
    const before = await things(broker, { server: s3, name: bucket });
    for (const storage of ['local', 's3']) {
      const { body: made } = await makeBackup(broker, 'one', { name: 'short-lived', storage });
      const { status, body } = await broker.admin.delete(backupPath('one', 'short-lived'));
      expect({ status, body }).toEqual({ status: 200, body: { ...made, operation_id: expect.any(String) as string } });
      expect(body['operation_id']).not.toBe(made['operation_id']);
      expectProblem(await broker.admin.delete(backupPath('one', 'short-lived')), 404, 'unknown_backup');
    }
    expect(await things(broker, { server: s3, name: bucket })).toEqual(before);
  });

  it('happens only to the backup that is meant', async () => {
    await makeBackup(broker, 'one', { name: 'meant' });
    const path = backupPath('one', 'meant');
    const { headers } = await broker.admin.get(path);
    for (const etag of ['"other"', `W/${String(headers.etag)}`])
      expectProblem(await broker.admin.delete(path, { headers: { 'if-match': etag } }), 412, 'precondition_failed');
    expectProblem(await broker.admin.delete(path, { query: { storage: 's3' } }), 404, 'unknown_backup');
    expectProblem(await broker.admin.delete(backupPath('other', 'meant')), 404, 'unknown_backup');
    expectProblem(await broker.admin.delete(backupPath('one', 'latest')), 400, 'invalid_request', /latest/);
    const answer = await broker.admin.delete(path, { headers: { 'if-match': `"x", ${String(headers.etag)}` } });
    expect(answer.status).toBe(200);
  });

  it('fails where the storage is away, and can be repeated', async () => {
    await makeBackup(broker, 'one', { name: 'stubborn', storage: 's3' });
    await s3.stop();
    expectProblem(await broker.admin.delete(backupPath('one', 'stubborn')), 502, 'storage_unreachable');
    await s3.start();
    expect(await listed('one')).toContain('stubborn available');
    const headers = { prefer: 'respond-async' };
    const answer = await broker.admin.delete(backupPath('one', 'stubborn'), { headers });
    expect(answer).toMatchObject({ status: 202, body: { kind: 'delete_backup' } });
    expect(await ended(broker, String(answer.body['id']))).toMatchObject({ state: 'succeeded' });
    expect(await listed('one')).not.toContain('stubborn available');
  });
});

describe('a rescan', () => {
  const rescan = async (storage: string): Promise<Json> => {
    const { status, body } = await broker.admin.send('POST', `/storages/${storage}/rescan`);
    expect(status).toBe(200);
    return body;
  };

  it('finds nothing new in what is known', async () => {
    for (const storage of ['local', 's3'])
      expect(await rescan(storage)).toMatchObject({ added: [], missing: [], damaged: [] });
    expectProblem(await broker.admin.send('POST', '/storages/x/rescan'), 400, 'unknown_storage', /local, s3/);
  });

  it('rebuilds an empty catalogue, and says what is wrong', async () => {
    const before = (await broker.admin.get(backupPath('one'))).body;
    await broker.home.estate.state('DELETE FROM backup');
    await mkdir(localFile('two'));
    await copyFile(localFile('one', 'a.dump'), localFile('two', 'a.dump'));
    await copyFile(localFile('one', 'a.json'), localFile('two', 'a.json'));
    await writeFile(localFile('two', 'broken.json'), '{');
    await writeFile(localFile('two', 'stray.txt'), 'x');
    const manifest = JSON.parse(await readFile(localFile('one', 'a.json'), 'utf8')) as Json;
    const alone = { ...manifest, backup_name: 'alone' };
    await writeFile(localFile('one', 'alone.json'), JSON.stringify(alone));
    expect(await rescan('local')).toEqual({
      added: ['a', 'c'].map((backup_name) => ({ instance_id: 'one', backup_name })),
      missing: [{ instance_id: 'one', backup_name: 'alone', reason: 'there is no archive' }],
      damaged: [
        { instance_id: 'two', backup_name: 'a', reason: expect.stringMatching(/another backup/) as string },
        { instance_id: 'two', backup_name: 'broken', reason: expect.stringMatching(/no JSON/) as string },
      ],
      operation_id: expect.any(String) as string,
    });
    expect(await rescan('s3')).toMatchObject({ added: [{ instance_id: 'one', backup_name: 'b' }] });
    await broker.home.estate.state(`DELETE FROM backup WHERE name = 'alone'`);
    await Promise.all([rm(localFile('two'), { recursive: true }), rm(localFile('one', 'alone.json'))]);
    expect((await broker.admin.get(backupPath('one'))).body).toEqual(before);
  });

  it('notes what has gone, and what has come back', async () => {
    const archive = await readFile(localFile('one', 'c.dump'));
    await rm(localFile('one', 'c.dump'));
    await writeFile(localFile('one', 'a.json'), 'x');
    expect(await rescan('local')).toMatchObject({
      added: [],
      missing: [{ instance_id: 'one', backup_name: 'c', reason: 'there is no archive' }],
      damaged: [{ instance_id: 'one', backup_name: 'a' }],
    });
    await writeFile(localFile('one', 'c.dump'), archive);
    await broker.admin.delete(backupPath('one', 'a'));
    expect(await rescan('local')).toMatchObject({ added: [], missing: [], damaged: [] });
    expect(await listed('one')).toEqual(['c available', 'b available']);
  });
});

describe('another broker, with a folder of its own', () => {
  it('knows where a backup is that it cannot reach, and leaves it alone', async () => {
    const elsewhere = await mkdtemp(join(tmpdir(), 'broker-'));
    const other = await startBroker({ home: broker.home, config: settings({ data_dir: elsewhere }) });
    const { body } = await other.admin.get(backupPath('one'));
    expect(body).toMatchObject({
      backups: [
        { backup_name: 'c', state: 'available' },
        { backup_name: 'b', state: 'available' },
      ],
      warnings: [
        {
          storage: 'local',
          code: 'storage_unreachable',
          detail: expect.stringMatching(/at the broker node/) as string,
        },
      ],
    });
    const node = (await readFile(join(broker.home.dataDir, 'node-id'), 'utf8')).trim();
    const answer = await other.admin.get('/download_backup/one/c');
    expectProblem(answer, 502, 'storage_unreachable', new RegExp(node));
    expect(answer.body['node']).toBe(node);
    expect((await other.admin.get('/download_backup/one/b')).status).toBe(200);
    expect((await other.admin.send('POST', '/storages/local/rescan')).body).toMatchObject({ added: [], missing: [] });
    await broker.stop();
    expectProblem(await other.admin.delete(backupPath('one', 'c')), 502, 'storage_unreachable', new RegExp(node));
    await other.stop();
    await rm(elsewhere, { recursive: true });
    broker = await startBroker({ home: broker.home, config: settings() });
    expect(await listed('one')).toEqual(['c available', 'b available']);
  });
});

describe('after the deprovision', () => {
  it('what a rescan finds is kept from the rescan on, however long ago the deprovision was', async () => {
    await tenantOf(broker, cluster, 'three');
    await makeBackup(broker, 'three', { name: 'found' });
    await broker.platform.deprovision('three');
    const state = (text: string) => broker.home.estate.state(text);
    await state(`UPDATE operation SET finished_at = now() - interval '29 days' WHERE instance_id = 'three'`);
    await state(`DELETE FROM backup WHERE instance_id = 'three'`);
    await broker.admin.send('POST', '/storages/local/rescan');
    const noted = () =>
      state(`SELECT orphaned_at = recorded_at AS late FROM backup
      WHERE instance_id = 'three' AND orphaned_at IS NOT NULL`);
    await until('it is noted', async () => (await noted()).length > 0);
    expect(await noted()).toEqual([{ late: true }]);
    expect(await listed('three')).toEqual(['found available']);
  });

  it('backups stay for the time that is configured, then they go with their manifests', async () => {
    await broker.platform.deprovision('one');
    expect(await listed('one')).toEqual(['c available', 'b available']);
    await broker.stop();
    const backups = { keep_after_deprovision: '1ms' };
    broker = await startBroker({ home: broker.home, config: settings({ backups }) });
    await until('the removal', async () => (await broker.admin.get(backupPath('one'))).status === 404);
    expect(await things(broker, { server: s3, name: bucket })).toMatchObject({ local: [], objects: [], spool: [] });
  });

  it('those of instances that nobody has deleted here stay', async () => {
    await tenantOf(broker, cluster, 'two');
    await makeBackup(broker, 'two', { name: 'kept' });
    await broker.home.estate.state(`DELETE FROM operation`);
    await broker.home.estate.state(`DELETE FROM service_instance`);
    await broker.stop();
    const backups = { keep_after_deprovision: '1ms' };
    broker = await startBroker({ home: broker.home, config: settings({ backups }) });
    await broker.admin.send('POST', '/storages/local/rescan');
    expect(await listed('two')).toEqual(['kept available']);
    const [row] = await broker.home.estate.state('SELECT orphaned_at FROM backup');
    expect(row).toEqual({ orphaned_at: null });
  });
});
