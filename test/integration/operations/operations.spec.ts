import { type EntityManager } from 'typeorm';
import { BrokerError } from '../../../src/errors.js';
import { type OperationHandler, type Outcome } from '../../../src/operations/operation-handler.js';
import { type NewOperation } from '../../../src/operations/operation-store.js';
import { type Operation } from '../../../src/operations/operation.entity.js';
import { type Cluster, startCluster } from '../../support/cluster.js';
import { gate, memoOf, type OperationsNode, startNode } from '../../support/operations-node.js';
import { sql } from '../../support/sql.js';
import { until } from '../../support/until.js';

/** What the one handler of this file does, by instance id; it is told what an operation is about by `input`. */
type Part = Partial<Pick<OperationHandler, 'run' | 'undo' | 'abandon'>>;
const parts = new Map<string, Part>();
const handler: OperationHandler = {
  kind: 'provision',
  run: async (context) => (await parts.get(context.operation.instanceId)?.run?.(context)) ?? {},
  undo: async (context, reason) => (await parts.get(context.operation.instanceId)?.undo?.(context, reason)) ?? {},
  abandon: async (operation, manager) => parts.get(operation.instanceId)?.abandon?.(operation, manager),
};

let cluster: Cluster;
let one: OperationsNode;
let other: OperationsNode;
let instances = 0;

beforeAll(async () => {
  cluster = await startCluster();
  const stateUrl = cluster.stateUrl();
  one = await startNode({ stateUrl, handlers: [handler] });
  // It begins and waits, and has no worker.
  other = await startNode({ stateUrl, operations: { roles: ['api'] }, handlers: [{ ...handler, run: never }] });
  await one.dataSource.query('CREATE TABLE note (instance_id text, what text)');
});

afterAll(async () => {
  await Promise.all([one.stop(), other.stop()]);
  await cluster.remove();
});

function never(): Promise<Outcome> {
  throw new Error('a broker without the role worker must not run anything');
}

function ask(part: Part = {}, more: Partial<NewOperation> = {}): NewOperation {
  const instanceId = `instance ${++instances}`;
  parts.set(instanceId, part);
  return { kind: 'provision', instanceId, requestedBy: { realm: 'admin', username: 'a' }, requestId: 'r', ...more };
}

const noting = (instanceId: string, what: string) => async (manager: EntityManager) => {
  await manager.query('INSERT INTO note VALUES ($1, $2)', [instanceId, what]);
};

async function notes({ instanceId }: { instanceId: string }): Promise<unknown[]> {
  const rows = await sql(cluster.stateUrl(), 'SELECT what FROM note WHERE instance_id = $1', [instanceId]);
  return rows.map((row) => row['what']);
}

const running = (id: string) =>
  until('the operation to run', async () => ((await one.operations.find(id)).state === 'running' ? true : undefined));

it('runs what was begun, at once, and tells who waits', async () => {
  const begun = await one.operations.begin(
    ask({ run: () => Promise.resolve({ result: { done: true } }) }, { input: { size: 3 } }),
  );
  expect(begun).toMatchObject({ state: 'queued', attempt: 0, phase: null, progress: {}, input: { size: 3 } });
  const ended = await one.operations.settled(begun.id, 30_000);
  expect(ended).toMatchObject({
    id: begun.id,
    state: 'succeeded',
    result: { done: true },
    error: null,
    attempt: 1,
    runner: one.runner,
    requestedBy: { realm: 'admin', username: 'a' },
    requestId: 'r',
  });
  expect(ended.finishedAt).toBeInstanceOf(Date);
  expect(await one.operations.active(begun.instanceId)).toBeNull();
  expect(await one.operations.latest(begun.instanceId)).toMatchObject({ id: begun.id });
  expect(await one.operations.latest(begun.instanceId, ['update'])).toBeNull();
});

it('runs many at once without a poll between them', async () => {
  const asks = Array.from({ length: 64 }, () => ask({ run: ({ phase }) => phase('working').then(() => ({})) }));
  const ended = await Promise.all(
    asks.map(async (each) => one.operations.settled((await one.operations.begin(each)).id, 30_000)),
  );
  expect(ended.map(({ state }) => state)).toEqual(asks.map(() => 'succeeded'));
  expect(ended.every(({ attempt, phase }) => attempt === 1 && phase === 'working')).toBe(true);
  expect(await sql(cluster.stateUrl(), 'SELECT id FROM pgboss.job')).toEqual([]);
});

it('shows phase and progress', async () => {
  const { open, pass } = gate();
  const begun = await one.operations.begin(
    ask({
      run: async (context) => {
        await context.phase('dumping', { bytes: 5, percent: 50 });
        await pass(context);
        return {};
      },
    }),
  );
  await until('the phase', async () => (await one.operations.find(begun.id)).phase !== null);
  expect(await one.operations.find(begun.id)).toMatchObject({ phase: 'dumping', progress: { bytes: 5, percent: 50 } });
  open();
  await one.operations.settled(begun.id, 30_000);
});

it('accepts one of twenty at once for an instance, and names it to the others', async () => {
  const { open, pass } = gate();
  const same = ask({ run: async (context) => (await pass(context), {}) });
  const answers = await Promise.allSettled(
    Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? one : other).operations.begin(same)),
  );
  const accepted = answers.filter((answer) => answer.status === 'fulfilled');
  const refused = answers.filter((answer) => answer.status === 'rejected');
  expect(accepted).toHaveLength(1);
  const { id } = accepted[0]?.value as Operation;
  for (const { reason } of refused)
    expect(reason).toMatchObject({ code: 'operation_in_progress', status: 409, details: { operation_id: id } });
  open();
  await one.operations.settled(id, 30_000);
});

it('writes what was asked together with the operation, or neither', async () => {
  const good = ask();
  const { id } = await one.operations.begin(good, noting(good.instanceId, 'begun'));
  await one.operations.settled(id, 30_000);
  expect(await notes(good)).toEqual(['begun']);
  const bad = ask();
  const refusal = new BrokerError('conflict', 'not so');
  await expect(
    one.operations.begin(bad, async (manager) => {
      await noting(bad.instanceId, 'begun')(manager);
      throw refusal;
    }),
  ).rejects.toBe(refusal);
  expect(await notes(bad)).toEqual([]);
  expect(await one.operations.latest(bad.instanceId)).toBeNull();
});

it('concludes in the transaction that marks the end', async () => {
  const good = ask();
  parts.set(good.instanceId, { run: () => Promise.resolve({ conclude: noting(good.instanceId, 'concluded') }) });
  await one.operations.settled((await one.operations.begin(good)).id, 30_000);
  expect(await notes(good)).toEqual(['concluded']);

  const bad = ask();
  parts.set(bad.instanceId, {
    run: () =>
      Promise.resolve({
        conclude: async (manager) => {
          await noting(bad.instanceId, 'concluded')(manager);
          throw new Error('the last write failed');
        },
      }),
    undo: () => Promise.resolve({ conclude: noting(bad.instanceId, 'undone') }),
  });
  const ended = await one.operations.settled((await one.operations.begin(bad)).id, 30_000);
  expect(ended).toMatchObject({ state: 'failed', error: { code: 'internal' } });
  expect(await notes(bad)).toEqual(['undone']);
});

it('fails with the code and message of a BrokerError, and hides what else was thrown', async () => {
  const reasons: unknown[] = [];
  const failing = (thrown: Error) =>
    ask({
      run: () => Promise.reject(thrown),
      undo: (_, reason) => {
        reasons.push(reason);
        return Promise.resolve({});
      },
    });
  const known = new BrokerError('server_full', 'no room left');
  const unknown = new Error('password=secret');
  const [first, second] = await Promise.all(
    [known, unknown].map(async (thrown) => {
      const { id } = await one.operations.begin(failing(thrown));
      return one.operations.settled(id, 30_000);
    }),
  );
  expect(first).toMatchObject({ state: 'failed', error: { code: 'server_full', detail: 'no room left' } });
  expect(second).toMatchObject({ state: 'failed', error: { code: 'internal' } });
  expect(JSON.stringify(second)).not.toContain('secret');
  expect(new Set(reasons)).toEqual(new Set([known, unknown]));
});

it('abandons what cannot be undone, and keeps the first error', async () => {
  const asked = ask();
  parts.set(asked.instanceId, {
    run: () => Promise.reject(new BrokerError('server_full', 'no room left')),
    undo: () => Promise.reject(new BrokerError('server_unreachable', 'gone')),
    abandon: (operation, manager) => noting(operation.instanceId, 'abandoned')(manager),
  });
  const ended = await one.operations.settled((await one.operations.begin(asked)).id, 30_000);
  expect(ended).toMatchObject({ state: 'failed', error: { code: 'server_full' } });
  expect(await notes(asked)).toEqual(['abandoned']);
});

it('cancels a running operation from this broker and from another one', async () => {
  for (const from of [one, other]) {
    const { pass } = gate();
    const asked = ask();
    parts.set(asked.instanceId, {
      run: async (context) => (await pass(context), {}),
      undo: ({ signal }) =>
        Promise.resolve({ conclude: noting(asked.instanceId, signal.aborted ? 'aborted' : 'undone') }),
    });
    const { id } = await one.operations.begin(asked);
    await running(id);
    expect(await from.operations.cancel(id)).toMatchObject({ id, state: 'running', cancelRequested: true });
    expect(await from.operations.settled(id, 30_000)).toMatchObject({
      state: 'cancelled',
      error: { code: 'cancelled' },
    });
    expect(await notes(asked)).toEqual(['undone']);
    await expect(from.operations.cancel(id)).rejects.toMatchObject({ code: 'operation_ended', status: 409 });
  }
});

it('keeps its word to cancel though the work is done meanwhile', async () => {
  const { open, pass } = gate();
  const asked = ask();
  parts.set(asked.instanceId, {
    run: async (context) => {
      await pass({ ...context, signal: new AbortController().signal });
      return { conclude: noting(asked.instanceId, 'concluded') };
    },
    undo: () => Promise.resolve({ conclude: noting(asked.instanceId, 'undone') }),
  });
  const { id } = await one.operations.begin(asked);
  await running(id);
  await one.operations.cancel(id);
  open();
  expect(await one.operations.settled(id, 30_000)).toMatchObject({ state: 'cancelled' });
  expect(await notes(asked)).toEqual(['undone']);
});

it('cancels a queued operation: undone, never run', async () => {
  const { open, pass } = gate();
  const busy = Array.from({ length: 16 }, () => ask({ run: async (context) => (await pass(context), {}) }));
  const ids = await Promise.all(busy.map(async (each) => (await one.operations.begin(each)).id));
  await Promise.all(ids.map(running));
  const asked = ask();
  parts.set(asked.instanceId, {
    run: () => Promise.resolve({ conclude: noting(asked.instanceId, 'run') }),
    undo: () => Promise.resolve({ conclude: noting(asked.instanceId, 'undone') }),
  });
  const { id } = await one.operations.begin(asked);
  expect(await one.operations.cancel(id)).toMatchObject({ state: 'queued' });
  open();
  expect(await one.operations.settled(id, 30_000)).toMatchObject({ state: 'cancelled' });
  expect(await notes(asked)).toEqual(['undone']);
  await Promise.all(ids.map((each) => one.operations.settled(each, 30_000)));
});

it('accepts no cancel once it is decided', async () => {
  const { open, pass } = gate();
  const begun = await one.operations.begin(
    ask({
      run: async (context) => {
        await context.decide({ intent: 'kept' });
        await pass(context);
        return { result: { memo: context.operation.memo } };
      },
    }),
  );
  await until('the decision', async () => (await memoOf(one, begun.id)).decided);
  await expect(other.operations.cancel(begun.id)).rejects.toMatchObject({ code: 'operation_ended' });
  open();
  const { state, result } = await one.operations.settled(begun.id, 30_000);
  expect({ state, result }).toEqual({ state: 'succeeded', result: { memo: { intent: 'kept', decided: true } } });
});

it('is not decided where a cancel was faster', async () => {
  const { open, pass } = gate();
  let decided: unknown;
  const begun = await one.operations.begin(
    ask({
      run: async (context) => {
        await pass(context).catch(() => undefined);
        decided = await context.decide({ intent: 'none' }).catch((error: unknown) => error);
        return {};
      },
    }),
  );
  await running(begun.id);
  await one.operations.cancel(begun.id);
  open();
  expect((await one.operations.settled(begun.id, 30_000)).state).toBe('cancelled');
  expect(decided).toMatchObject({ code: 'cancelled' });
  expect(await memoOf(one, begun.id)).toEqual({});
});
