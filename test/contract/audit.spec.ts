import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { backupPath } from '../support/backups.js';
import { type SpawnedBroker, spawnBroker } from '../support/broker.js';
import { type HttpClient, type Json } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { sql } from '../support/sql.js';
import { until } from '../support/until.js';
import { foreignArchive, uploadPath } from '../support/uploads.js';
import { type Cloud, startCloud } from '../support/users.js';

let cluster: Cluster;
let cloud: Cloud;
let broker: SpawnedBroker;
let mine: string;
let developer: HttpClient;
let auditor: HttpClient;
let outsider: HttpClient;
const tokens: string[] = [];

beforeAll(async () => {
  cluster = await startCluster();
  cloud = await startCloud(cluster, {
    start: async (options) => (broker = await spawnBroker(options)),
    config: { http: { trusted_proxies: ['127.0.0.0/8'] } },
  });
  mine = await cloud.instance('mine');
  [developer, auditor, outsider] = await Promise.all([logIn('developer'), logIn('auditor'), logIn('outsider')]);
});

afterAll(async () => {
  await cloud?.end();
  await cluster?.remove();
});

async function logIn(name: 'developer' | 'auditor' | 'outsider'): Promise<HttpClient> {
  const token = await cloud.controller.token(cloud.controller.world.users[name]);
  tokens.push(token);
  return cloud.withToken(token);
}

async function records(query: Record<string, string | number> = {}): Promise<Json[]> {
  const answer = await broker.admin.get('/audit', { query });
  expect(answer.status).toBe(200);
  return answer.body['records'] as Json[];
}

async function newest(instance = mine): Promise<Json> {
  const [record] = await records({ instance_id: instance, limit: 1 });
  return record ?? {};
}

const user = (name: 'developer' | 'auditor' | 'outsider') => ({
  realm: 'user',
  username: name,
  user_id: cloud.controller.world.users[name].guid,
});

it('says who has changed what, from where, and what came of it', async () => {
  const archive = await foreignArchive(cluster, 'CREATE TABLE t (i int)');
  const from = { headers: { 'x-forwarded-for': '203.0.113.7' } };
  const octets = { headers: { 'content-type': 'application/octet-stream' }, raw: archive };
  const restore = `/restore_instance/${mine}/first`;
  const name = { backup_name: 'first' };
  const asked: [() => ReturnType<HttpClient['send']>, Json][] = [
    [
      () => developer.send('POST', `/backup_instance/${mine}`, { ...from, query: { name: 'first' } }),
      { change: 'backup', address: '203.0.113.7', status: 201, target: {} },
    ],
    [() => developer.send('PUT', uploadPath(mine, 'up'), octets), { change: 'upload', target: { backup_name: 'up' } }],
    [() => developer.get(`/download_backup/${mine}/first`), { change: 'download', status: 200, operation_id: null }],
    [
      () => developer.send('POST', restore, { query: { from: mine } }),
      { change: 'restore', target: { ...name, from: mine } },
    ],
    [() => developer.send('POST', `/undo_restore/${mine}`), { change: 'undo_restore' }],
    [() => developer.delete(backupPath(mine, 'up')), { change: 'delete_backup', target: { backup_name: 'up' } }],
    [
      () => developer.send('POST', restore, { headers: { prefer: 'respond-async' } }),
      { change: 'restore', status: 202, target: name },
    ],
  ];
  for (const [ask, expected] of asked) {
    const answer = await ask();
    const operation = answer.body['operation_id'] ?? answer.body['id'] ?? null;
    expect(await newest()).toMatchObject({
      status: answer.status,
      instance_id: mine,
      requested_by: user('developer'),
      request_id: answer.headers['x-request-id'],
      code: null,
      operation_id: operation,
      asked_at: expect.stringMatching(/Z$/) as string,
      answered_at: expect.stringMatching(/Z$/) as string,
      ...expected,
    });
  }
  await until('the last restore', async () => (await broker.home.estate.look()).active.length === 0);
});

it('says what was refused, and to whom', async () => {
  const refusals: [HttpClient, 'auditor' | 'outsider', number, string][] = [
    [auditor, 'auditor', 403, 'forbidden'],
    [outsider, 'outsider', 404, 'unknown_instance'],
  ];
  for (const [client, name, status, code] of refusals) {
    expect((await client.delete(backupPath(mine, 'first'))).status).toBe(status);
    const record = { change: 'delete_backup', requested_by: user(name), status, code, operation_id: null };
    expect(await newest()).toMatchObject(record);
  }
  const [operation] = (await developer.get('/operations', { query: { instance_id: mine } })).body[
    'operations'
  ] as Json[];
  expect((await outsider.delete(`/operations/${String(operation?.['id'])}`)).status).toBe(404);
  expect(await newest()).toMatchObject({ change: 'cancel', status: 404, target: { operation_id: operation?.['id'] } });
  expect((await developer.send('POST', '/storages/local/rescan')).status).toBe(403);
  expect((await records({ limit: 1 }))[0]).toMatchObject({
    change: 'rescan',
    status: 403,
    instance_id: null,
    target: { storage: 'local' },
  });
});

it('says what failed, and why', async () => {
  expect((await developer.send('POST', `/restore_instance/${mine}/none`)).status).toBe(404);
  expect(await newest()).toMatchObject({ change: 'restore', status: 404, code: 'unknown_backup' });
  expect((await broker.admin.send('POST', `/backup_instance/${mine}`, { query: { name: '?' } })).status).toBe(400);
  expect(await newest()).toMatchObject({ status: 400, code: 'invalid_request', requested_by: { realm: 'admin' } });
});

it('says what the platform has changed, and for whom', async () => {
  const { platform } = broker;
  const identity = `cloudfoundry ${Buffer.from('{"user_id":"u-1"}').toString('base64')}`;
  const by = platform.having({ 'x-broker-api-originating-identity': identity });
  const changes: [() => ReturnType<HttpClient['send']>, string][] = [
    [() => by.provision('plain'), 'provision'],
    [() => by.update('plain', { parameters: {} }), 'update'],
    [() => by.bind('plain', 'b'), 'bind'],
    [() => by.unbind('plain', 'b'), 'unbind'],
    [() => by.deprovision('plain'), 'deprovision'],
    [() => by.deprovision('plain', { plan_id: undefined }), 'deprovision'],
  ];
  for (const [ask, change] of changes) {
    const { status } = await ask();
    expect(await newest('plain')).toMatchObject({
      change,
      status,
      target: change.endsWith('bind') ? { binding_id: 'b' } : {},
      requested_by: { realm: 'platform', username: 'platform', originating: { value: { user_id: 'u-1' } } },
    });
  }
  expect(await newest('plain')).toMatchObject({ status: 400, code: 'invalid_request' });
});

it('shows a restore also with the instance that it is from', async () => {
  const target = await cloud.instance('target');
  const ask = { query: { from: mine } };
  expect((await developer.send('POST', `/restore_instance/${target}/first`, ask)).status).toBe(200);
  expect(await newest()).toMatchObject({ change: 'restore', instance_id: target, target: { from: mine } });
});

it('gives the records page by page', async () => {
  const all = await records();
  const paged: Json[] = [];
  let after: string | undefined;
  do {
    const { body } = await broker.admin.get('/audit', { query: { limit: 3, after } });
    paged.push(...(body['records'] as Json[]));
    after = (body['next'] as string | null) ?? undefined;
  } while (after !== undefined);
  expect(paged.map(({ id }) => id)).toEqual(all.map(({ id }) => id));
  for (const query of [{ after: 'x' }, { limit: 0 }, { instance_id: '' }])
    expect((await broker.admin.get('/audit', { query })).status).toBe(400);
});

it('is a line in the log too', async () => {
  const { headers } = await developer.send('POST', `/backup_instance/${mine}`);
  const line = await until('the line', () =>
    broker.log
      .map((each) => JSON.parse(each) as Json)
      .find((each) => each['audit'] && each['request_id'] === headers['x-request-id']),
  );
  expect(line['audit']).toMatchObject({
    change: 'backup',
    instance_id: mine,
    requested_by: user('developer'),
    status: 201,
  });
});

it('refuses a change that cannot be recorded', async () => {
  await broker.home.estate.state('ALTER TABLE audit_record RENAME TO away');
  const before = await backups();
  expect((await developer.send('POST', `/backup_instance/${mine}`)).status).toBe(500);
  await broker.home.estate.state('ALTER TABLE away RENAME TO audit_record');
  expect(await backups()).toEqual(before);
});

async function backups(): Promise<unknown> {
  return (await developer.get(backupPath(mine))).body['backups'];
}

it('keeps nothing of a token: not in the log, not in the state, not in the data folder', async () => {
  await outsider.get(backupPath(mine), { query: { storage: tokens[2] } });
  await developer.send('POST', `/backup_instance/${mine}`, { query: { storage: tokens[0] } });
  await developer.send('POST', `/restore_instance/${mine}/first`, { query: { from: tokens[0] } });
  await developer.send('POST', `/restore_instance/${mine}/${tokens[0]}`);
  await developer.send('POST', `/backup_instance/${tokens[0]}`);
  const secrets = tokens.flatMap((token) => token.split('.').slice(1));
  const dump: string[] = [];
  const tables = await broker.home.estate.state(
    `SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('public', 'pgboss')`,
  );
  for (const { schemaname, tablename } of tables)
    dump.push(
      JSON.stringify(await sql(broker.home.stateUrl, `SELECT * FROM ${String(schemaname)}."${String(tablename)}"`)),
    );
  const entries = await readdir(broker.home.dataDir, { recursive: true, withFileTypes: true });
  for (const entry of entries.filter((each) => each.isFile()))
    dump.push(await readFile(join(entry.parentPath, entry.name), 'latin1'));
  dump.push(broker.log.join('\n'));
  expect(dump.join('\n')).toContain('developer');
  for (const secret of secrets) expect(dump.some((text) => text.includes(secret))).toBe(false);
});

describe('records whose time is over', () => {
  it('are deleted at the next start', async () => {
    const { estate } = broker.home;
    await estate.state(`UPDATE audit_record SET asked_at = now() - interval '401 days' WHERE change = 'upload'`);
    await estate.state(`UPDATE audit_record SET asked_at = now() - interval '399 days' WHERE change = 'bind'`);
    const count = async () => (await estate.state('SELECT change FROM audit_record')).map(({ change }) => change);
    expect(await count()).toContain('upload');
    await broker.stop();
    broker = await spawnBroker({
      cluster,
      home: broker.home,
      config: { cloud_controller: { url: cloud.controller.url } },
    });
    await until('the sweep', async () => !(await count()).includes('upload'));
    expect(await count()).toContain('bind');
    await broker.stop();
  });
});
