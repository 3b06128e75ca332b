import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ended, expectProblem, operation, things } from '../support/backups.js';
import { type RunningBroker, startBroker } from '../support/broker.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { until } from '../support/until.js';
import { foreignArchive, rawUpload, upload, uploadPath } from '../support/uploads.js';

let cluster: Cluster;
let broker: RunningBroker;
let archive: Buffer;

beforeAll(async () => {
  cluster = await startCluster();
  broker = await startBroker({ cluster, config: { http: { max_upload: '4MiB' } } });
  await broker.platform.provision('i1');
  archive = await foreignArchive(
    cluster,
    'CREATE TABLE words AS SELECT i, md5(i::text) FROM generate_series(1, 500) i',
  );
  expect((await upload(broker, ['i1', 'u1'], archive)).status).toBe(201);
});
afterAll(async () => {
  await broker.stop();
  await cluster.remove();
});

let names = 1;
const fresh = () => `u${++names}`;

/** What an upload that failed must have left as it was. */
async function state() {
  const { spool, local } = await things(broker);
  const backups = await broker.home.estate.state('SELECT name FROM backup ORDER BY name');
  return { spool, local: local.sort(), backups };
}

describe('a body that is asked for', () => {
  const expecting = { expect: '100-continue', 'content-length': '10' };

  it.each([
    ['401', 'i1/x', { authorization: 'Basic bm86Ym9keQ==' }],
    ['404', 'unknown/x', {}],
    ['409', 'i1/u1', {}],
    ['415', 'i1/x', { 'content-type': 'text/plain' }],
    ['413', 'i1/x', { 'content-length': '99999999999' }],
    ['400', 'i1/latest', {}],
  ])('is never sent where the answer is %s', async (status, at, headers) => {
    const call = rawUpload(broker, `/upload_backup/${at}`, { ...expecting, ...headers });
    await call.closed;
    expect(call.text()).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
  });

  it('is sent once all else is checked', async () => {
    const length = String(archive.length);
    const call = rawUpload(broker, uploadPath('i1', fresh()), {
      ...expecting,
      'content-length': length,
      connection: 'close',
    });
    await call.says(/^HTTP\/1\.1 100 Continue\r\n\r\n/);
    expect(await broker.home.estate.state(`SELECT phase FROM operation WHERE state = 'running'`)).toEqual([
      { phase: 'receiving' },
    ]);
    call.socket.write(archive);
    await call.closed;
    expect(call.text()).toMatch(/HTTP\/1\.1 201 /);
  });

  it('is sent to other calls too', async () => {
    const { hostname, port } = new URL(broker.url);
    const body = JSON.stringify({});
    const answer = await fetch(`http://${hostname}:${port}/v2/catalog`, { method: 'GET' });
    expect(answer.status).toBe(401);
    const call = rawUpload(broker, '/v2/service_instances/i9', {
      authorization: `Basic ${Buffer.from(`platform:${broker.home.platform.password}`).toString('base64')}`,
      'x-broker-api-version': '2.17',
      'content-type': 'application/json',
      expect: '100-continue',
      'content-length': String(body.length),
      connection: 'close',
    });
    await call.says(/^HTTP\/1\.1 100 Continue/);
    call.socket.write(body);
    await call.closed;
    expect(call.text()).toMatch(/HTTP\/1\.1 400 /);
  });
});

describe('in the middle', () => {
  const begin = async (name = fresh()) => {
    const call = rawUpload(broker, uploadPath('i1', name), { 'content-length': String(archive.length) });
    call.socket.write(archive.subarray(0, archive.length / 2));
    const id = await until('the operation', async () => {
      const [row] = await broker.home.estate.state(
        `SELECT id FROM operation WHERE state = 'running' AND phase = 'receiving'`,
      );
      return row?.['id'] as string | undefined;
    });
    return { call, id };
  };

  it('a connection that breaks leaves nothing', async () => {
    const before = await state();
    const { call, id } = await begin();
    call.socket.destroy();
    expect(await ended(broker, id)).toMatchObject({
      state: 'failed',
      error: { detail: expect.stringMatching(/connection/) as string },
    });
    expect(await state()).toEqual(before);
  });

  it('a cancel leaves nothing', async () => {
    const before = await state();
    const { call, id } = await begin();
    expect((await broker.admin.delete(`/operations/${id}`)).status).toBe(202);
    await call.says(/HTTP\/1\.1 409 [\s\S]*"code":"cancelled"/);
    expect(await operation(broker, id)).toMatchObject({ state: 'cancelled' });
    expect(await state()).toEqual(before);
    call.socket.destroy();
  });

  it('another upload of the instance is refused, with the id of the one that runs', async () => {
    const { call, id } = await begin();
    const answer = await upload(broker, ['i1', fresh()], archive);
    expectProblem(answer, 409, 'operation_in_progress');
    expect(answer.body['operation_id']).toBe(id);
    call.socket.write(archive.subarray(archive.length / 2));
    await call.says(/HTTP\/1\.1 201 /);
    call.socket.destroy();
  });

  it('a deprovision ends it', async () => {
    await broker.platform.provision('i2');
    const call = rawUpload(broker, uploadPath('i2', 'x'), { 'content-length': '100000' });
    call.socket.write(archive.subarray(0, 100));
    await until('the upload', async () => (await broker.home.estate.look()).active.length === 1);
    expect((await broker.platform.deprovision('i2')).status).toBe(200);
    await call.says(/HTTP\/1\.1 409 [\s\S]*"code":"cancelled"/);
    call.socket.destroy();
    expect((await things(broker)).spool).toEqual([]);
  });
});

it('a broker that is no worker takes uploads too', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'broker-'));
  const config = { data_dir: dataDir, operations: { roles: ['api'] } };
  const front = await startBroker({ home: broker.home, config });
  try {
    const name = fresh();
    expect((await upload(front, ['i1', name], archive)).status).toBe(201);
    expect((await front.admin.get(`/backups/i1/${name}`)).body).toMatchObject({ state: 'available' });
    expect(await readdir(join(dataDir, 'spool'))).toEqual([]);
  } finally {
    await front.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
});
