import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expectProblem, makeBackup, s3Storage, things } from '../support/backups.js';
import { type RunningBroker, startBroker } from '../support/broker.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { credentialsOf } from '../support/platform.js';
import { type S3Server, startS3Server } from '../support/s3-server.js';
import { sql } from '../support/sql.js';
import { foreignArchive, upload } from '../support/uploads.js';

let cluster: Cluster;
let server: S3Server;
let bucket: string;
let broker: RunningBroker;
let uri: string;
beforeAll(async () => {
  [cluster, server] = await Promise.all([startCluster(), startS3Server()]);
  bucket = await server.makeBucket();
  const storages = [s3Storage(server, bucket)];
  const servers = [{ superuser_url: cluster.superuserUrl() }];
  broker = await startBroker({ cluster, config: { storages, servers } });
  await broker.platform.provision('i');
  uri = credentialsOf(await broker.platform.bind('i', 'b')).uri;
  await sql(uri, `CREATE TABLE t AS SELECT i, md5(i::text) FROM generate_series(1, 3000) i`);
});
afterAll(async () => {
  await broker.stop();
  await Promise.all([cluster.remove(), server.remove()]);
});

const restore = (name: string, query: Record<string, string> = {}) =>
  broker.admin.send('POST', `/restore_instance/i/${name}`, { query });
const rows = async () => Number((await sql(uri, 'SELECT count(*)::int AS n FROM t'))[0]?.['n']);

it('restores from s3, and leaves nothing in the spool', async () => {
  await makeBackup(broker, 'i', { storage: 's3', name: 'remote' });
  await sql(uri, 'DELETE FROM t');
  expectProblem(await restore('remote', { storage: 'local' }), 404, 'unknown_backup', /local/);
  const answer = await restore('remote', { storage: 's3' });
  expect([answer.status, answer.body['rows']]).toEqual([200, 3000]);
  expect(await rows()).toBe(3000);
  expect((await things(broker)).spool).toEqual([]);
});

it('refuses an archive in s3 that was changed', async () => {
  const { Contents = [] } = await server.client.listObjectsV2({ Bucket: bucket });
  const Key = Contents.map((each) => each.Key ?? '').find((key) => key.endsWith('remote.dump')) ?? '';
  const whole = Buffer.from(
    await (await server.client.getObject({ Bucket: bucket, Key })).Body!.transformToByteArray(),
  );
  const other = Buffer.from(whole);
  other[500] = (other[500] ?? 0) ^ 4;
  await server.client.putObject({ Bucket: bucket, Key, Body: other });
  expectProblem(await restore('remote'), 422, 'archive_damaged');
  await server.client.putObject({ Bucket: bucket, Key, Body: other.subarray(1) });
  expectProblem(await restore('remote'), 422, 'archive_damaged');
  await server.client.putObject({ Bucket: bucket, Key, Body: whole });
  expect((await restore('remote')).status).toBe(200);
  expect((await things(broker)).spool).toEqual([]);
});

it('uploads to s3', async () => {
  const archive = await foreignArchive(cluster, 'CREATE TABLE t AS SELECT generate_series(1, 7) AS i');
  const answer = await upload(broker, ['i', 'brought'], archive, { query: { storage: 's3' } });
  expect([answer.status, answer.body['storage'], answer.body['origin']]).toEqual([201, 's3', 'upload']);
  expect((await restore('brought')).status).toBe(200);
  expect(await rows()).toBe(7);
  expect((await things(broker)).spool).toEqual([]);
});

it('gives restore points up where that makes enough room on the server, and says how much is missing', async () => {
  await makeBackup(broker, 'i', { name: 'huge' });
  expect((await restore('huge')).status).toBe(200);
  const folder = join(broker.home.dataDir, 'backups');
  const files = await readdir(folder, { recursive: true });
  const manifest = join(folder, files.find((file) => file.endsWith('huge.json')) ?? '');
  const text = await readFile(manifest, 'utf8');
  await writeFile(manifest, text.replace(/"database_bytes": \d+/, '"database_bytes": 4000000000000000'));
  const undo = () => broker.admin.send('POST', '/undo_restore/i');
  expectProblem(await restore('huge'), 507, 'server_full', /are missing/);
  expect((await undo()).status).toBe(200);
  await broker.home.estate.state('UPDATE restore_point SET database_bytes = 9000000000000000');
  const answer = await restore('huge');
  expectProblem(answer, 507, 'server_full', /are missing/);
  expect(answer.body['missing_bytes']).toBeGreaterThan(1e15);
  expect(await rows()).toBe(7);
  expectProblem(await undo(), 404, 'no_restore_point');
  const { databases, instances } = await broker.home.estate.look();
  expect(databases).toEqual(instances.map(({ database }) => database));
});

it('says so where the storage cannot be reached', async () => {
  await server.stop();
  const archive = Buffer.from('PGDMP');
  expectProblem(
    await upload(broker, ['i', 'never'], archive, { query: { storage: 's3' } }),
    502,
    'storage_unreachable',
  );
  expectProblem(await restore('remote'), 502, 'storage_unreachable');
  expect(await rows()).toBe(7);
  expect((await things(broker)).spool).toEqual([]);
}, 120_000);
