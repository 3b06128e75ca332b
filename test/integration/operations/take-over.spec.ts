import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { type OperationContext, type OperationHandler } from '../../../src/operations/operation-handler.js';
import { type NewOperation } from '../../../src/operations/operation-store.js';
import { type Operation, type OperationKind } from '../../../src/operations/operation.entity.js';
import { type Cluster, startCluster } from '../../support/cluster.js';
import { gate, type OperationsNode, startNode } from '../../support/operations-node.js';
import { until } from '../../support/until.js';

const SUPPORT = join(import.meta.dirname, '../../support');

let cluster: Cluster;
let asker: OperationsNode;
const children: ChildProcess[] = [];
const workers: OperationsNode[] = [];
let instances = 0;

beforeAll(async () => {
  cluster = await startCluster();
  asker = await startNode({ stateUrl: cluster.stateUrl(), operations: { roles: ['api'] } });
});

afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await Promise.all([asker, ...workers].map((node) => node.stop()));
  await cluster.remove();
});

function ask(kind: OperationKind = 'provision'): NewOperation {
  return { kind, instanceId: `instance ${++instances}`, requestedBy: { realm: 'broker' }, requestId: 'r' };
}

async function worker(run: OperationHandler['run'], more: { node?: string; undo?: OperationHandler['undo'] } = {}) {
  const { node, undo } = more;
  const kinds: OperationKind[] = ['provision', 'update'];
  const started = await startNode({
    stateUrl: cluster.stateUrl(),
    handlers: kinds.map((kind) => ({ kind, run, ...(undo === undefined ? {} : { undo }) })),
    ...(node === undefined ? {} : { node }),
  });
  workers.push(started);
  return started;
}

/** A worker in a process of its own that has begun an operation. */
async function childAtWork(
  node: string,
  kind: OperationKind = 'provision',
): Promise<{ child: ChildProcess; operation: Operation }> {
  const child = fork(
    join(SUPPORT, 'operations-child.ts'),
    [JSON.stringify({ stateUrl: cluster.stateUrl(), node, kind })],
    {
      execArgv: ['--import', join(SUPPORT, 'typescript-hooks.mjs')],
    },
  );
  children.push(child);
  const gone = once(child, 'exit').then(() => ['gone']);
  const said = () => Promise.race([once(child, 'message'), gone]);
  expect(await said()).toContain('ready');
  const at = said();
  const operation = await asker.operations.begin(ask(kind));
  expect(await at).toContain('running');
  return { child, operation };
}

it('goes on at once with what a killed process of the same node had begun', async () => {
  const { child, operation } = await childAtWork('samenode');
  const killed = await asker.operations.find(operation.id);
  child.kill('SIGKILL');
  await once(child, 'exit');
  const former: (string | null)[] = [];
  const next = await worker(
    ({ formerRunner }) => {
      former.push(formerRunner);
      return Promise.resolve({});
    },
    { node: 'samenode' },
  );
  // Less than a missing heartbeat would take.
  const ended = await asker.operations.settled(operation.id, 9_000);
  expect(ended).toMatchObject({ state: 'succeeded', attempt: 2, runner: next.runner });
  expect(former).toEqual([killed.runner]);
  await next.stop();
});

it('goes on with the work of a killed and of a paused node, and the paused one writes nothing any more', async () => {
  const killed = await childAtWork('killednode');
  const paused = await childAtWork('pausednode', 'update');
  killed.child.kill('SIGKILL');
  paused.child.kill('SIGSTOP');
  const next = await worker(() => Promise.resolve({ result: { by: 'the next' } }));
  for (const { operation } of [killed, paused]) {
    const ended = await asker.operations.settled(operation.id, 60_000);
    expect(ended).toMatchObject({ state: 'succeeded', attempt: 2, runner: next.runner });
  }
  const said = once(paused.child, 'message');
  paused.child.kill('SIGCONT');
  paused.child.send('go on');
  expect(await said).toContain('rejected');
  expect(await asker.operations.find(paused.operation.id)).toMatchObject({
    phase: 'begun',
    result: { by: 'the next' },
    runner: next.runner,
  });
  await next.stop();
});

it('hands over at shut-down what does not end within the grace, and fails nothing', async () => {
  const reasons: unknown[] = [];
  const { pass } = gate();
  let undone = 0;
  const undo = () => Promise.resolve({ result: { undone: ++undone } });
  const leaving = await worker(
    (context) =>
      pass(context).then(
        () => ({}),
        (reason: unknown) => {
          reasons.push(reason);
          throw reason;
        },
      ),
    { undo },
  );
  const { id } = await asker.operations.begin(ask());
  await until('the operation to run', async () => (await asker.operations.find(id)).state === 'running');
  await leaving.stop();
  expect(reasons).toMatchObject([{ code: 'stopping' }]);
  expect(undone).toBe(0);
  expect(await asker.operations.find(id)).toMatchObject({ state: 'queued', error: null, finishedAt: null });
  await expect(leaving.operations.begin(ask())).rejects.toMatchObject({ code: 'stopping' });

  const former: (string | null)[] = [];
  const next = await worker(({ formerRunner }) => {
    former.push(formerRunner);
    return Promise.resolve({});
  });
  expect(await asker.operations.settled(id, 9_000)).toMatchObject({ state: 'succeeded', attempt: 2 });
  expect(former).toEqual([null]);
  await next.stop();
});

it('lets work end within the grace', async () => {
  const { open, pass } = gate();
  const leaving = await worker(async (context) => (await pass(context), {}));
  const { id } = await asker.operations.begin(ask());
  await until('the operation to run', async () => (await asker.operations.find(id)).state === 'running');
  const stopped = leaving.stop();
  open();
  await stopped;
  expect(await asker.operations.find(id)).toMatchObject({ state: 'succeeded', attempt: 1 });
});

it('lets a superseded attempt write nothing: no phase, no end, no undo', async () => {
  const contexts: OperationContext[] = [];
  let undone = 0;
  const undo = () => Promise.resolve({ result: { undone: ++undone } });
  const { open, pass } = gate();
  const superseded = await worker(
    async (context) => {
      contexts.push(context);
      await pass({ ...context, signal: new AbortController().signal });
      return { conclude: (manager) => manager.query(`UPDATE operation SET phase = 'concluded'`) };
    },
    { undo },
  );
  const { id } = await asker.operations.begin(ask());
  const context = await until('the operation to run', () => contexts[0]);
  await asker.dataSource.query(`UPDATE operation SET attempt = 7, runner = 'another/one' WHERE id = $1`, [id]);
  await expect(context.phase('stolen')).rejects.toThrow('another attempt holds the operation');
  expect(context.signal.aborted).toBe(true);
  open();
  await superseded.stop();
  expect(undone).toBe(0);
  expect(await asker.operations.find(id)).toMatchObject({
    state: 'running',
    attempt: 7,
    phase: null,
    runner: 'another/one',
  });
});

it('waits for a state database that is away for a moment', async () => {
  const { open, pass } = gate();
  const patient = await worker(async (context) => {
    await pass(context);
    await context.phase('afterwards');
    return {};
  });
  const { id } = await asker.operations.begin(ask());
  await until('the operation to run', async () => (await asker.operations.find(id)).state === 'running');
  await cluster.stop('immediate');
  await expect(asker.operations.begin(ask())).rejects.toMatchObject({ code: 'server_unreachable' });
  await expect(asker.operations.settled(id, 1_000)).rejects.toMatchObject({ code: 'server_unreachable' });
  open();
  await cluster.start();
  const ended = await until('the state database', () => asker.operations.settled(id, 30_000).catch(() => undefined));
  expect(ended).toMatchObject({ state: 'succeeded', attempt: 1, phase: 'afterwards' });
  await patient.stop();
});
