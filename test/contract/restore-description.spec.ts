import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expectProblem, fill, makeBackup, tenantOf } from '../support/backups.js';
import { type RunningBroker, startBroker } from '../support/broker.js';
import { type Answer, type Call, type Json } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { type Described, described } from '../support/described.js';
import { session } from '../support/sql.js';
import { until } from '../support/until.js';
import { foreignArchive, upload } from '../support/uploads.js';

let cluster: Cluster;
let broker: RunningBroker;
let api: Described;

beforeAll(async () => {
  cluster = await startCluster();
  broker = await startBroker({ cluster, config: { http: { max_upload: '1MiB' } } });
  api = await described(broker);
});
afterAll(async () => {
  await broker.stop();
  await cluster.remove();
});

it('says what the answers about restores, undos and uploads are', async () => {
  const { admin } = broker;
  const tenant = await tenantOf(broker, cluster, 'one');
  await tenant.run('CREATE TABLE t AS SELECT 1 AS i');
  const RESTORE = '/restore_instance/{instance_id}/{backup_name}';
  const UNDO = '/undo_restore/{instance_id}';
  const UPLOAD = '/upload_backup/{instance_id}/{backup_name}';
  const restore = (path: string, call: Call = {}) => admin.send('POST', `/restore_instance/${path}`, call);
  const undo = (id: string) => admin.send('POST', `/undo_restore/${id}`);
  const OUTLOOK = '/restore_point/{instance_id}';
  const outlook = (id: string) => admin.get(`/restore_point/${id}`);
  await makeBackup(broker, 'one', { name: 'a' });

  const before = await outlook('one');
  expect(Object.keys(before.body)).toEqual(['database_bytes', 'keep_ms']);
  expect(before.body['keep_ms']).toBe(86_400_000);
  expect(before.body['database_bytes']).toBeGreaterThan(1_000_000);
  api.expect('GET', OUTLOOK, before);
  api.expect('GET', OUTLOOK, await outlook('none'));

  api.expect('POST', UNDO, await undo('one'));
  api.expect('POST', UNDO, await undo('none'));
  const restored = await restore('one/latest');
  api.expect('POST', RESTORE, restored);
  const after = await outlook('one');
  expect(after.body['restore_point']).toMatchObject(restored.body['restore_point'] as Json);
  api.expect('GET', OUTLOOK, after);
  api.expect('POST', UNDO, await undo('one'));
  for (const path of ['one/x', 'none/a', 'one/a?storage=x', 'one/a?from=none', 'one/a?from=', 'one/a?accept_errors=1'])
    api.expect('POST', RESTORE, await restore(path));
  api.expect('POST', RESTORE, await admin.as(undefined).send('POST', '/restore_instance/one/a'));
  const held = await session(cluster.superuserUrl(tenant.database));
  const inUse = await restore('one/a');
  expectProblem(inUse, 409, 'database_in_use');
  api.expect('POST', RESTORE, inUse);
  await held.end();
  api.expect('POST', RESTORE, await restore('one/a', { headers: { prefer: 'respond-async' } }));

  const archive = await foreignArchive(cluster, 'CREATE TABLE t AS SELECT 1 AS i');
  for (const method of ['PUT', 'POST']) {
    const send = (name: string, bytes: Buffer, headers: Call['headers'] = {}, query: Call['query'] = {}) =>
      upload(broker, ['two', name], bytes, { headers, query }, method);
    if (method === 'PUT') await broker.platform.provision('two');
    const good = await send(`u${method}`, archive);
    expect(good.status).toBe(201);
    api.expect(method, UPLOAD, good);
    api.expect(method, UPLOAD, await send(`v${method}`, archive, { prefer: 'respond-async' }));
    await until('the upload', async () => (await broker.home.estate.look()).active.length === 0);
    api.expect(method, UPLOAD, await send(`u${method}`, archive));
    api.expect(method, UPLOAD, await send('latest', archive));
    api.expect(method, UPLOAD, await send('x', archive, {}, { storage: 'x' }));
    api.expect(method, UPLOAD, await send('x', Buffer.alloc(2 * 1024 * 1024)));
    api.expect(method, UPLOAD, await send('x', archive, { 'content-type': 'text/plain' }));
    const none = await send('x', Buffer.from('nothing'));
    expectProblem(none, 422, 'archive_invalid');
    api.expect(method, UPLOAD, none);
    const wrong = { 'content-digest': `sha-256=:${Buffer.alloc(32).toString('base64')}:` };
    api.expect(method, UPLOAD, await send('x', archive, wrong));
    api.expect(method, UPLOAD, await upload(broker, ['none', 'x'], archive, {}, method));
  }
});

describe('the further members of errors, in the answer and in the operation', () => {
  const RESTORE = '/restore_instance/{instance_id}/{backup_name}';
  const BACKUP = '/backup_instance/{instance_id}';
  const OPERATION = '/operations/{id}';

  async function expectMembers(method: string, path: string, answer: Answer, code: string, members: Json) {
    expectProblem(answer, Number(answer.status), code);
    api.expect(method, path, answer);
    expect(answer.body).toMatchObject(members);
    const kept = await broker.admin.get(`/operations/${String(answer.body['operation_id'])}`);
    api.expect('GET', OPERATION, kept);
    expect(kept.body['error']).toMatchObject({ code, ...members });
  }

  const post = (path: string) => broker.admin.send('POST', path);
  const texts = (pattern: RegExp) => expect.arrayContaining([expect.stringMatching(pattern)]) as string[];

  it('errors of a restore', async () => {
    await broker.platform.provision('bad');
    const archive = await foreignArchive(
      cluster,
      `CREATE FUNCTION bad(i int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN
         RETURN pg_read_file('/etc/hostname') IS NOT NULL; END $$;
       CREATE TABLE escaping (i int CHECK (bad(i))); INSERT INTO escaping VALUES (1)`,
    );
    expect((await upload(broker, ['bad', 'bad'], archive)).status).toBe(201);
    const answer = await post('/restore_instance/bad/bad');
    await expectMembers('POST', RESTORE, answer, 'restore_failed', { errors: texts(/pg_read_file/) });
  });

  it('differences to the manifest', async () => {
    const tenant = await tenantOf(broker, cluster, 'counted');
    await tenant.run('CREATE TABLE t AS SELECT 1 AS i');
    await makeBackup(broker, 'counted', { name: 'a' });
    const manifest = join(broker.home.dataDir, 'backups', 'counted', 'a.json');
    await writeFile(manifest, (await readFile(manifest, 'utf8')).replace(/"public\.t": 1/, '"public.t": 7'));
    const answer = await post('/restore_instance/counted/a');
    await expectMembers('POST', RESTORE, answer, 'verification_failed', {
      differences: texts(/public\.t: 7 expected/),
    });
  });

  it('bytes that are missing, and the size of what is shorter than a range', async () => {
    const big = await tenantOf(broker, cluster, 'big');
    const range = { headers: { range: 'bytes=99999999-' } };
    const short = await broker.admin.get('/download_backup/one/a', range);
    expectProblem(short, 416, 'range_not_satisfiable');
    api.expect('GET', '/download_backup/{instance_id}/{backup_name}', short);
    expect(short.body['size_bytes']).toEqual(expect.any(Number));
    await fill(cluster, big, 4);
    await broker.stop();
    broker = await startBroker({ home: broker.home, config: { spool: { max_bytes: '1MiB' } } });
    const answer = await makeBackup(broker, 'big');
    const missing = expect.any(Number) as number;
    await expectMembers('POST', BACKUP, answer, 'spool_full', { missing_bytes: missing });
  });
});
