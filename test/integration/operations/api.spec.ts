import { randomUUID } from 'node:crypto';
import { type RunningBroker, startBroker, stopBrokers } from '../../support/broker.js';
import { type Json } from '../../support/client.js';
import { type Cluster, startCluster } from '../../support/cluster.js';
import { sql } from '../../support/sql.js';

let cluster: Cluster;
let broker: RunningBroker;

beforeAll(async () => {
  cluster = await startCluster();
  broker = await startBroker({ cluster });
});

afterAll(async () => {
  await stopBrokers();
  await cluster.remove();
});

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const UNKNOWN = randomUUID();

/** An operation that no broker has a job of. */
async function insert(instanceId: string, columns: Record<string, unknown> = {}): Promise<string> {
  const row = {
    id: randomUUID(),
    kind: 'provision',
    instance_id: instanceId,
    state: 'queued',
    requested_by: { realm: 'platform', username: 'platform' },
    request_id: 'request',
    ...columns,
  };
  const names = Object.keys(row);
  await sql(
    broker.home.stateUrl,
    `INSERT INTO operation (${names.join(', ')}) VALUES (${names.map((_, index) => `$${index + 1}`).join(', ')})`,
    Object.values(row),
  );
  return row.id;
}

it('shows an operation in snake_case, with times in RFC 3339 and only what there is', async () => {
  const queued = await insert('shown');
  expect((await broker.admin.get(`/operations/${queued}`)).body).toEqual({
    id: queued,
    kind: 'provision',
    instance_id: 'shown',
    state: 'queued',
    phase: null,
    progress: {},
    attempt: 0,
    requested_by: { realm: 'platform', username: 'platform' },
    request_id: 'request',
    created_at: expect.stringMatching(TIME) as string,
    started_at: null,
    finished_at: null,
  });
  const now = new Date();
  const failed = await insert('shown', {
    state: 'failed',
    phase: 'creating',
    progress: { bytes: 1 },
    attempt: 2,
    error: { code: 'server_full', detail: 'no room left' },
    result: { rows: 3 },
    started_at: now,
    finished_at: now,
    next_try_at: now,
  });
  const { status, body } = await broker.admin.get(`/operations/${failed}`);
  expect(status).toBe(200);
  expect(body).toMatchObject({
    phase: 'creating',
    progress: { bytes: 1 },
    attempt: 2,
    error: { code: 'server_full', detail: 'no room left' },
    result: { rows: 3 },
    started_at: now.toISOString(),
    finished_at: now.toISOString(),
    next_try_at: now.toISOString(),
  });
});

it('lists the operations of one instance, page by page', async () => {
  const ids: string[] = [];
  for (let count = 0; count < 3; count++) ids.unshift(await insert('listed', { state: 'succeeded' }));
  const list = (query: Record<string, string | number>) =>
    broker.admin.get('/operations', { query: { instance_id: 'listed', ...query } });
  const seen = ({ body }: { body: Json }) => (body['operations'] as Json[]).map(({ id }) => id);
  const all = await list({});
  expect(seen(all)).toEqual(ids);
  expect(all.body['next']).toBeNull();
  const first = await list({ limit: 2 });
  expect(seen(first)).toEqual(ids.slice(0, 2));
  expect(first.body['next']).toBe(ids[1]);
  const second = await list({ limit: 2, after: String(first.body['next']) });
  expect(seen(second)).toEqual(ids.slice(2));
  expect(second.body['next']).toBeNull();
  expect(seen(await broker.admin.get('/operations', { query: { limit: 1 } }))).toEqual(ids.slice(0, 1));
});

it.each([
  ['limit', '0'],
  ['limit', '1001'],
  ['limit', 'many'],
  ['limit', '1.5'],
  ['limit', ''],
  ['after', 'x'],
  ['after', UNKNOWN],
  ['instance_id', ''],
  ['instance_id', 'x'.repeat(256)],
])('refuses the parameter %s=%s by its name', async (name, value) => {
  const { status, body } = await broker.admin.get('/operations', { query: { [name]: value } });
  expect(status).toBe(400);
  expect(body).toMatchObject({ code: 'invalid_request' });
  expect(body['detail']).toMatch(new RegExp(`^${name}: expected `));
});

it('accepts the cancel of an operation that has not ended, and refuses it afterwards', async () => {
  const queued = await insert('to be cancelled');
  const accepted = await broker.admin.delete(`/operations/${queued}`);
  expect(accepted.status).toBe(202);
  expect(accepted.body).toMatchObject({ id: queued, state: 'queued' });
  const ended = await insert('ended', { state: 'succeeded' });
  const refused = await broker.admin.delete(`/operations/${ended}`);
  expect(refused.status).toBe(409);
  expect(refused.body).toMatchObject({ code: 'operation_ended' });
});

it.each([UNKNOWN, 'x', "'", `${UNKNOWN}0`])('knows no operation %s', async (id) => {
  for (const method of ['GET', 'DELETE']) {
    const { status, body } = await broker.admin.send(method, `/operations/${encodeURIComponent(id)}`);
    expect(status).toBe(404);
    expect(body).toMatchObject({ code: 'unknown_operation' });
  }
});

it('does not open to the platform', async () => {
  const platform = broker.admin.as(broker.home.platform);
  for (const path of ['/operations', `/operations/${UNKNOWN}`]) expect((await platform.get(path)).status).toBe(401);
  expect((await platform.delete(`/operations/${UNKNOWN}`)).status).toBe(401);
});
