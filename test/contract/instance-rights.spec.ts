import { randomUUID } from 'node:crypto';
import { backupPath } from '../support/backups.js';
import { type Answer, type HttpClient, type Json } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { until } from '../support/until.js';
import { foreignArchive, rawUpload, uploadPath } from '../support/uploads.js';
import { type Cloud, startCloud } from '../support/users.js';

let cluster: Cluster;
let cloud: Cloud;
/** The developer's instance with a backup `kept`, and the outsider's with a backup `theirs`. */
let mine: string;
let theirs: string;
let archive: Buffer;
let operation: string;
let developer: HttpClient;
let auditor: HttpClient;
let outsider: HttpClient;
let admin: HttpClient;

beforeAll(async () => {
  cluster = await startCluster();
  cloud = await startCloud(cluster);
  mine = await cloud.instance('mine');
  theirs = await cloud.instance('theirs', 'elsewhere');
  archive = await foreignArchive(cluster, 'CREATE TABLE t (i int)');
  const made = await cloud.broker.admin.send('POST', `/backup_instance/${mine}`, { query: { name: 'kept' } });
  operation = String(made.body['operation_id']);
  await cloud.broker.admin.send('POST', `/backup_instance/${theirs}`, { query: { name: 'theirs' } });
  await logIn();
});

afterAll(async () => {
  await cloud?.end();
  await cluster?.remove();
});

async function logIn(): Promise<void> {
  [developer, auditor, outsider, admin] = await Promise.all([
    cloud.as('developer'),
    cloud.as('auditor'),
    cloud.as('outsider'),
    cloud.as('admin'),
  ]);
}

const octets = { headers: { 'content-type': 'application/octet-stream' } };

describe('an instance that is not theirs', () => {
  it('is as one that does not exist, to the last byte', async () => {
    const unknown = randomUUID();
    const asks: ((by: HttpClient, id: string) => Promise<Answer>)[] = [
      (by, id) => by.get(backupPath(id)),
      (by, id) => by.get(backupPath(id, 'kept')),
      (by, id) => by.get(`/restore_point/${id}`),
      (by, id) => by.get('/operations', { query: { instance_id: id } }),
      (by, id) => by.send('POST', `/backup_instance/${id}`),
      (by, id) => by.send('POST', `/restore_instance/${id}/kept`),
      (by, id) => by.send('POST', `/undo_restore/${id}`),
      (by, id) => by.get(`/download_backup/${id}/kept`),
      (by, id) => by.delete(backupPath(id, 'kept')),
      (by, id) => by.send('PUT', uploadPath(id, 'x'), { ...octets, raw: archive }),
    ];
    for (const ask of asks) {
      const [foreign, none, odd] = await Promise.all(
        [mine, unknown, 'not-a-guid'].map((id) => ask(outsider, id).then(stripped)),
      );
      expect(foreign).toMatchObject({ status: 404 });
      expect(none).toEqual(foreign);
      expect(odd).toEqual(foreign);
    }
  });

  it('has operations as if they did not exist', async () => {
    for (const method of ['GET', 'DELETE']) {
      const foreign = stripped(await outsider.send(method, `/operations/${operation}`));
      expect(foreign).toMatchObject({ status: 404 });
      expect(stripped(await outsider.send(method, `/operations/${randomUUID()}`))).toEqual(foreign);
    }
    const rescan = await cloud.broker.admin.send('POST', '/storages/local/rescan');
    const id = String(rescan.body['operation_id']);
    expect((await developer.get(`/operations/${id}`)).status).toBe(404);
  });

  it('is no place to go on from in a list', async () => {
    const list = (after: string) => outsider.get('/operations', { query: { instance_id: theirs, after } });
    expect(stripped(await list(operation))).toEqual(stripped(await list(randomUUID())));
  });

  function stripped({ status, headers, text }: Answer): object {
    const { date, 'x-request-id': id, ...rest } = headers;
    void date;
    return { status, headers: rest, text: text.replaceAll(String(id), '') };
  }
});

describe('a restore from another instance', () => {
  const restore = (by: HttpClient, to: string, from: string, name: string) =>
    by.send('POST', `/restore_instance/${to}/${name}`, { query: { from } });

  it('needs the right to manage both', async () => {
    expect((await restore(developer, mine, theirs, 'theirs')).status).toBe(404);
    expect((await restore(outsider, theirs, mine, 'kept')).status).toBe(404);
    const { world } = cloud.controller;
    world.grant(world.users.outsider, 'space_auditor', world.space);
    expect((await restore(outsider, theirs, mine, 'kept')).status).toBe(403);
    world.withdraw(world.users.outsider, world.space);
    expect((await restore(admin, theirs, mine, 'kept')).status).toBe(200);
  });

  it('shows the backup to those only who may see the instance that it is from', async () => {
    const { body } = await restore(admin, theirs, mine, 'kept');
    const { world } = cloud.controller;
    const seen = async (by: HttpClient) => {
      const one = await by.get(`/operations/${String(body['operation_id'])}`);
      const list = await by.get('/operations', { query: { instance_id: theirs, limit: 1 } });
      const [listed] = list.body['operations'] as Json[];
      return [one.body, listed].map((each) => (each?.['result'] as Json)['backup']);
    };
    const backup = body['backup'] as object;
    expect(await seen(admin)).toEqual([backup, backup]);
    expect(await seen(await cloud.as('outsider'))).toEqual([undefined, undefined]);
    world.grant(world.users.outsider, 'space_auditor', world.space);
    expect(await seen(await cloud.as('outsider'))).toEqual([backup, backup]);
    world.withdraw(world.users.outsider, world.space);
  });
});

describe('ids that differ only in how they are written', () => {
  const other = (id: string) => developer.get(`/backups/${id}`);

  it('share no rights', async () => {
    await cloud.broker.platform.provision(mine.toUpperCase());
    for (const id of [
      mine.toUpperCase(),
      `${mine}%20`,
      `%20${mine}`,
      `${mine}%00`,
      `${mine}%0A`,
      `{${mine}}`,
      `${mine}.`,
    ])
      expect([id, (await other(id)).status]).toEqual([id, id.includes('%00') ? 400 : 404]);
    const encoded = mine.replaceAll('-', '%2D').replaceAll('a', '%61');
    expect((await other(encoded)).status).toBe(200);
    expect((await other(encoded.replaceAll('%', '%25'))).status).toBe(404);
  });

  it('never lead to another path of the controller', async () => {
    const { faults } = cloud.controller;
    const before = faults.requests.length;
    for (const id of [
      `${theirs}%2F..%2F${mine}`,
      `..%2Fservice_instances%2F${mine}`,
      `${mine}%2Fpermissions%3F`,
      `${mine}%23`,
    ])
      expect((await other(id)).status).toBe(404);
    expect(faults.requests.slice(before)).toEqual([]);
  });
});

describe('what the controller says', () => {
  it('of one instance never counts for another, of one token never for another', async () => {
    const wanted = { developer: [200, 404], outsider: [404, 200] } as const;
    const fresh = { developer: await cloud.as('developer'), outsider: await cloud.as('outsider') };
    const rounds = (['developer', 'outsider'] as const).flatMap((person) => Array.from({ length: 10 }, () => person));
    await Promise.all(
      rounds.map(async (person) => {
        const answers = [mine, theirs].map((id) => fresh[person].get(backupPath(id)));
        expect((await Promise.all(answers)).map(({ status }) => status)).toEqual(wanted[person]);
      }),
    );
  });

  it('is asked with the token of the user, and not for each call', async () => {
    const by = await cloud.as('developer');
    const { faults } = cloud.controller;
    const before = faults.asked(/permissions/);
    for (let count = 0; count < 5; count++) expect((await by.get(backupPath(mine))).status).toBe(200);
    expect(faults.asked(/permissions/) - before).toBe(1);
  });

  it('counts again soon after a right was withdrawn, and at once after one was given', async () => {
    const { world } = cloud.controller;
    const by = await cloud.as('developer');
    expect((await by.get(backupPath(mine))).status).toBe(200);
    world.withdraw(world.users.developer);
    await until('the end of the right', async () => (await by.get(backupPath(mine))).status === 404);
    world.grant(world.users.developer, 'space_developer');
    expect((await by.get(backupPath(mine))).status).toBe(200);
  });
});

it('takes tokens of new keys without a restart, and those of given up keys no longer', async () => {
  const { uaa } = cloud.controller;
  const former = await cloud.as('developer');
  await uaa.rotateKey();
  expect((await (await cloud.as('developer')).get(backupPath(mine))).status).toBe(200);
  expect((await former.get(backupPath(mine))).status).toBe(401);
  await logIn();
});

it('takes the token of a client that has got it for itself', async () => {
  const { uaa, world } = cloud.controller;
  const { user_id, user_name, ...claims } = uaa.claims(world.users.admin);
  void [user_id, user_name];
  const token = await uaa.sign({ ...claims, sub: world.client.id, client_id: world.client.id });
  const answer = await cloud.withToken(token).send('POST', `/backup_instance/${mine}`);
  expect(answer).toMatchObject({
    status: 201,
    body: { requested_by: { realm: 'user', user_id: world.client.id, username: world.client.id } },
  });
});

it('asks for no byte of an upload before the rights are known', async () => {
  const token = (name: 'developer' | 'auditor' | 'outsider') =>
    cloud.controller.token(cloud.controller.world.users[name]);
  const expect100 = { expect: '100-continue', 'content-length': String(archive.length) };
  const call = async (name: 'developer' | 'auditor' | 'outsider') =>
    rawUpload(cloud.broker, uploadPath(mine, `from-${name}`), {
      ...expect100,
      authorization: `bearer ${await token(name)}`,
    });
  for (const [name, status] of [
    ['outsider', 404],
    ['auditor', 403],
  ] as const) {
    const raw = await call(name);
    await raw.says(new RegExp(`HTTP/1.1 ${status}`));
    expect(raw.text()).not.toContain('100 Continue');
    raw.socket.destroy();
  }
  const raw = await call('developer');
  await raw.says(/HTTP\/1.1 100 Continue/);
  raw.socket.write(archive);
  await raw.says(/HTTP\/1.1 201/);
  raw.socket.destroy();
});

it('shows the storages to users by name and type only, without looking at them', async () => {
  expect((await auditor.get('/storages')).body).toEqual({ storages: [{ name: 'local', type: 'local' }] });
  const [local] = (await cloud.broker.admin.get('/storages')).body['storages'] as object[];
  expect(local).toMatchObject({ name: 'local', type: 'local', reachable: true });
});

it('says who asked for a backup', async () => {
  const { guid } = cloud.controller.world.users.developer;
  const made = await developer.send('POST', `/backup_instance/${mine}`);
  const requested_by = { realm: 'user', username: 'developer', user_id: guid };
  expect(made.body).toMatchObject({ requested_by });
  const operation = await auditor.get(`/operations/${String(made.body['operation_id'])}`);
  expect(operation.body).toMatchObject({ requested_by });
});
