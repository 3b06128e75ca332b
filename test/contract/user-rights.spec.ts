import { backupPath, tenantOf } from '../support/backups.js';
import { type Answer, type Call, type HttpClient } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { type Described, described } from '../support/described.js';
import { foreignArchive, uploadPath } from '../support/uploads.js';
import { type Cloud, startCloud } from '../support/users.js';

/** People by their tokens; `basic` is the broker's own admin. */
type Person = 'basic' | 'admin' | 'developer' | 'manager' | 'auditor' | 'outsider';
/** Only in the order of this list: those who may not change anything come first. */
const PEOPLE: Person[] = ['outsider', 'auditor', 'manager', 'developer', 'admin', 'basic'];

let cluster: Cluster;
let cloud: Cloud;
let api: Described;
/** The developer's instance with a backup `kept`, and the outsider's with a backup `theirs`. */
let mine: string;
let theirs: string;
let archive: Buffer;
let operation: string;
const clients: Partial<Record<Person, HttpClient>> = {};

beforeAll(async () => {
  cluster = await startCluster();
  cloud = await startCloud(cluster);
  api = await described(cloud.broker);
  mine = await withTable('mine', 'space');
  theirs = await withTable('theirs', 'elsewhere');
  archive = await foreignArchive(cluster, 'CREATE TABLE t (i int)');
  const made = await cloud.broker.admin.send('POST', `/backup_instance/${mine}`, { query: { name: 'kept' } });
  operation = String(made.body['operation_id']);
  await cloud.broker.admin.send('POST', `/backup_instance/${theirs}`, { query: { name: 'theirs' } });
  clients.basic = cloud.broker.admin;
  for (const name of PEOPLE) if (name !== 'basic') clients[name] = await cloud.as(name);
});

afterAll(async () => {
  await cloud?.end();
  await cluster?.remove();
});

async function withTable(name: string, space: 'space' | 'elsewhere'): Promise<string> {
  const { guid } = cloud.controller.world.addInstance(undefined, { name, space: cloud.controller.world[space] });
  const tenant = await tenantOf(cloud.broker, cluster, guid);
  await tenant.run('CREATE TABLE t (i int)');
  return guid;
}

function client(person: Person): HttpClient {
  const found = clients[person];
  if (found === undefined) throw new Error(`there is no ${person}`);
  return found;
}

let drawn = 0;
const draw = () => `b${++drawn}`;
const octets: Call = { headers: { 'content-type': 'application/octet-stream' } };

interface Row {
  /** As the description of the API has it. */
  call: string;
  ask: (by: HttpClient) => Promise<Answer>;
  /** Of outsider, auditor, manager, developer, the platform's admin, and the broker's admin. */
  statuses: [number, number, number, number, number, number];
}

const READS = [404, 200, 200, 200, 200, 200] as Row['statuses'];
const changes = (done: number): Row['statuses'] => [404, 403, 403, done, done, done];
const ADMINS = (done: number): Row['statuses'] => [403, 403, 403, 403, 403, done];

const TABLE: Row[] = [
  { call: 'GET /backups/{instance_id}', ask: (by) => by.get(backupPath(mine)), statuses: READS },
  { call: 'GET /backups/{instance_id}/{backup_name}', ask: (by) => by.get(backupPath(mine, 'kept')), statuses: READS },
  { call: 'GET /restore_point/{instance_id}', ask: (by) => by.get(`/restore_point/${mine}`), statuses: READS },
  { call: 'GET /operations', ask: (by) => by.get('/operations', { query: { instance_id: mine } }), statuses: READS },
  { call: 'GET /operations/{id}', ask: (by) => by.get(`/operations/${operation}`), statuses: READS },
  { call: 'GET /operations', ask: (by) => by.get('/operations'), statuses: [400, 400, 400, 400, 400, 200] },
  { call: 'GET /storages', ask: (by) => by.get('/storages'), statuses: [200, 200, 200, 200, 200, 200] },
  {
    call: 'POST /backup_instance/{instance_id}',
    ask: (by) => by.send('POST', `/backup_instance/${mine}`),
    statuses: changes(201),
  },
  {
    call: 'PUT /upload_backup/{instance_id}/{backup_name}',
    ask: (by) => by.send('PUT', uploadPath(mine, draw()), { ...octets, raw: archive }),
    statuses: changes(201),
  },
  {
    call: 'POST /upload_backup/{instance_id}/{backup_name}',
    ask: (by) => by.send('POST', uploadPath(mine, draw()), { ...octets, raw: archive }),
    statuses: changes(201),
  },
  {
    call: 'GET /download_backup/{instance_id}/{backup_name}',
    ask: (by) => by.get(`/download_backup/${mine}/kept`),
    statuses: changes(200),
  },
  {
    call: 'HEAD /download_backup/{instance_id}/{backup_name}',
    ask: (by) => by.send('HEAD', `/download_backup/${mine}/kept`),
    statuses: changes(200),
  },
  {
    call: 'POST /restore_instance/{instance_id}/{backup_name}',
    ask: (by) => by.send('POST', `/restore_instance/${mine}/kept`),
    statuses: changes(200),
  },
  {
    call: 'POST /undo_restore/{instance_id}',
    ask: (by) => by.send('POST', `/undo_restore/${mine}`),
    statuses: changes(200),
  },
  {
    call: 'DELETE /backups/{instance_id}/{backup_name}',
    ask: async (by) => {
      const name = draw();
      await cloud.broker.admin.send('POST', `/backup_instance/${mine}`, { query: { name } });
      return by.delete(backupPath(mine, name));
    },
    statuses: changes(200),
  },
  {
    call: 'DELETE /operations/{id}',
    ask: (by) => by.delete(`/operations/${operation}`),
    statuses: changes(409),
  },
  {
    call: 'POST /storages/{name}/rescan',
    ask: (by) => by.send('POST', '/storages/local/rescan'),
    statuses: ADMINS(200),
  },
  { call: 'GET /audit', ask: (by) => by.get('/audit'), statuses: ADMINS(200) },
];

describe.each(TABLE)('$call', ({ call, ask, statuses }) => {
  const [method = '', path = ''] = call.split(' ');
  it.each(PEOPLE.map((person, index) => [person, statuses[index] ?? 0] as const))(
    'by %s: %i',
    async (person, status) => {
      const answer = await ask(client(person));
      expect({ status: answer.status, text: status < 400 ? '' : answer.text }).toMatchObject({ status });
      api.expect(method, path, answer);
    },
  );
});

it('has no call that the table leaves out', async () => {
  const { body } = await cloud.broker.admin.get('/openapi.json');
  const calls = Object.entries(body['paths'] as Record<string, object>)
    .filter(([path]) => !path.startsWith('/v2') && !['/healthz', '/readyz', '/openapi.json'].includes(path))
    .flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`));
  expect(calls.filter((call) => !TABLE.some((row) => row.call === call))).toEqual([]);
});

it('refuses who shows nothing', async () => {
  for (const { ask } of TABLE.filter(({ call }) => !call.startsWith('DELETE /backups')))
    expect((await ask(cloud.broker.admin.as(undefined))).status).toBe(401);
});
