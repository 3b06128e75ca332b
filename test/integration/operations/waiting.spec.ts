import { type OperationHandler } from '../../../src/operations/operation-handler.js';
import { type NewOperation } from '../../../src/operations/operation-store.js';
import { type Cluster, startCluster } from '../../support/cluster.js';
import { gate, type OperationsNode, startNode } from '../../support/operations-node.js';

let cluster: Cluster;
let one: OperationsNode;
let other: OperationsNode;
let run: OperationHandler['run'] = () => Promise.resolve({});
let instances = 0;

beforeAll(async () => {
  cluster = await startCluster();
  const stateUrl = cluster.stateUrl();
  one = await startNode({ stateUrl, handlers: [{ kind: 'provision', run: (context) => run(context) }] });
  other = await startNode({ stateUrl, operations: { roles: ['api'] } });
});

afterAll(async () => {
  await Promise.all([one.stop(), other.stop()]);
  await cluster.remove();
});

function ask(kind: NewOperation['kind'] = 'provision'): NewOperation {
  return { kind, instanceId: `instance ${++instances}`, requestedBy: { realm: 'broker' }, requestId: 'r' };
}

it('gives the operation as it is when the waiting ends first', async () => {
  const { open, pass } = gate();
  run = async (context) => (await pass(context), {});
  const { id } = await other.operations.begin(ask());
  expect(await other.operations.settled(id, 0)).toMatchObject({ id });
  expect((await other.operations.settled(id, 50)).finishedAt).toBeNull();
  expect((await other.operations.settled(id, 60_000, AbortSignal.abort())).finishedAt).toBeNull();
  open();
  expect(await other.operations.settled(id, 30_000)).toMatchObject({ state: 'succeeded' });
});

it('leaves kinds that no worker has registered in the queue', async () => {
  const { id } = await one.operations.begin(ask('update'));
  expect(await one.operations.settled(id, 1_200)).toMatchObject({ state: 'queued', attempt: 0 });
  const late = await startNode({
    stateUrl: cluster.stateUrl(),
    handlers: [{ kind: 'update', run: () => Promise.resolve({}) }],
  });
  expect(await one.operations.settled(id, 30_000)).toMatchObject({ state: 'succeeded', runner: late.runner });
  await late.stop();
});

it('lists newest first, page by page', async () => {
  const asked = ask();
  const ids: string[] = [];
  for (let count = 0; count < 5; count++) {
    const { id } = await one.operations.begin(asked);
    ids.unshift(id);
    await one.operations.settled(id, 30_000);
  }
  const { instanceId } = asked;
  const seen: string[] = [];
  for (let after: string | null | undefined; after !== null;) {
    const page = await one.operations.list({ instanceId, limit: 2, ...(after === undefined ? {} : { after }) });
    seen.push(...page.operations.map(({ id }) => id));
    after = page.next;
  }
  expect(seen).toEqual(ids);
  expect((await one.operations.list({ limit: 3 })).operations.map(({ id }) => id)).toEqual(ids.slice(0, 3));
  expect(await one.operations.list({ instanceId: 'none', limit: 1 })).toEqual({ operations: [], next: null });
  for (const after of ['x', '00000000-0000-4000-8000-000000000000'])
    await expect(one.operations.list({ limit: 2, after })).rejects.toMatchObject({ code: 'invalid_request' });
});

it('knows no operation by an id that is none', async () => {
  for (const id of ['x', "'", '00000000-0000-4000-8000-000000000000']) {
    await expect(one.operations.find(id)).rejects.toMatchObject({ code: 'unknown_operation', status: 404 });
    await expect(one.operations.cancel(id)).rejects.toMatchObject({ code: 'unknown_operation' });
    await expect(one.operations.settled(id, 10)).rejects.toMatchObject({ code: 'unknown_operation' });
  }
});

it('ends at the deadline as timed out', async () => {
  const hasty = await startNode({
    stateUrl: cluster.stateUrl(),
    operations: { deadline: '1s' },
    handlers: [
      {
        kind: 'deprovision',
        run: ({ signal }) =>
          new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted')))),
      },
    ],
  });
  const { id } = await hasty.operations.begin(ask('deprovision'));
  expect(await hasty.operations.settled(id, 30_000)).toMatchObject({ state: 'failed', error: { code: 'timed_out' } });
  await hasty.stop();
});

it('finds work that has lost its job, and forgets what ended more than 30 days ago', async () => {
  const insert = async (kind: string, state: string, created: string, finished: string | null) => {
    const [row] = await one.dataSource.query<[{ id: string }]>(
      `INSERT INTO operation (id, kind, instance_id, state, requested_by, request_id, created_at, finished_at)
       VALUES (gen_random_uuid(), $1, $2, $3, '{}', 'r', now() - $4::interval, now() - $5::interval) RETURNING id`,
      [kind, `instance ${++instances}`, state, created, finished],
    );
    return row.id;
  };
  const forgotten = await insert('update', 'queued', '2 minutes', null);
  const old = await insert('update', 'succeeded', '40 days', '31 days');
  const young = await insert('update', 'succeeded', '40 days', '29 days');
  const late = await startNode({
    stateUrl: cluster.stateUrl(),
    handlers: [{ kind: 'update', run: () => Promise.resolve({}) }],
  });
  expect(await one.operations.settled(forgotten, 30_000)).toMatchObject({ state: 'succeeded', runner: late.runner });
  expect(await one.operations.find(young)).toMatchObject({ id: young });
  await expect(one.operations.find(old)).rejects.toMatchObject({ code: 'unknown_operation' });
  await late.stop();
});
