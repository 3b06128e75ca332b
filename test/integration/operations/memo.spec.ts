import { BrokerError } from '../../../src/errors.js';
import { type OperationHandler } from '../../../src/operations/operation-handler.js';
import { withEta } from '../../../src/operations/progress-writer.js';
import { gate, memoOf } from '../../support/operations-node.js';
import { until } from '../../support/until.js';
import { asker, begin, seen, stopped, worker } from './workers.js';

it('what a handler remembers is there for the next attempt, and for the undo', async () => {
  const memos: unknown[] = [];
  const one = await worker({
    run: async (context) => {
      await context.remember({ file: 'a', role: 'r' });
      await context.remember({ file: null, more: { deep: [1] } });
      await stopped(context);
      return {};
    },
  });
  const { id } = await begin();
  await until('more is remembered', async () => (await memoOf(asker, id))['more']);
  await one.stop();
  await worker({
    run: (context) => {
      memos.push({ ...context.operation.memo });
      return Promise.reject(new BrokerError('dump_failed', 'no'));
    },
    undo: ({ operation }) => {
      memos.push({ ...operation.memo });
      return Promise.resolve({});
    },
  });
  expect(await asker.operations.settled(id, 30_000)).toMatchObject({ state: 'failed', attempt: 2 });
  const memo = { file: null, role: 'r', more: { deep: [1] } };
  expect(memos).toEqual([memo, memo]);
});

it('succeeds where its undo finds that what it was to do has happened, and forgets what nobody needs', async () => {
  await worker({
    run: async ({ remember }) => {
      await remember({ large: 'x', small: 'y' });
      throw new BrokerError('server_full', 'no room left');
    },
    undo: () => Promise.resolve({ happened: true, forget: ['large'], result: { done: 'it' } }),
  });
  const ended = await asker.operations.settled((await begin()).id, 30_000);
  expect(ended).toMatchObject({ state: 'succeeded', error: null, result: { done: 'it' } });
  expect(await memoOf(asker, ended.id)).toEqual({ small: 'y' });
});

it('shows the last error and the next try while it waits, and leaves its place to others meanwhile', async () => {
  const { open, pass } = gate();
  const next = new Date(Date.now() + 3_600_000);
  let waiting = '';
  await worker({
    heavy: true,
    run: async (context) => {
      if (context.operation.id !== waiting) return {};
      await context.phase('uploading');
      await context.waiting(new BrokerError('storage_unreachable', 'away'), next);
      await pass(context);
      await context.phase('uploading');
      return {};
    },
  });
  const first = await begin();
  waiting = first.id;
  const shown = await seen(first.id, ({ nextTryAt }) => nextTryAt !== null);
  expect(shown).toMatchObject({
    state: 'running',
    phase: 'uploading',
    error: { code: 'storage_unreachable', detail: 'away' },
    nextTryAt: next,
  });
  const second = await begin();
  expect(await asker.operations.settled(second.id, 30_000)).toMatchObject({ state: 'succeeded' });
  open();
  expect(await asker.operations.settled(first.id, 30_000)).toMatchObject({
    state: 'succeeded',
    error: null,
    nextTryAt: null,
  });
});

it('a cancel in the queue does not wait for a place', async () => {
  const { open, pass } = gate();
  const undone: string[] = [];
  await worker({
    heavy: true,
    run: async (context) => (await pass(context), {}),
    undo: ({ operation }) => (undone.push(operation.id), Promise.resolve({})),
  });
  const first = await begin();
  await seen(first.id, ({ state }) => state === 'running');
  const second = await begin();
  await asker.operations.cancel(second.id);
  expect(await asker.operations.settled(second.id, 30_000)).toMatchObject({ state: 'cancelled' });
  expect(await asker.operations.find(first.id)).toMatchObject({ state: 'running' });
  open();
  expect(await asker.operations.settled(first.id, 30_000)).toMatchObject({ state: 'succeeded' });
  expect(undone).toEqual([second.id]);
  expect(await asker.dataSource.query(`SELECT * FROM pgboss.job WHERE name = 'backup'`)).toEqual([]);
});

it('a cancel in the queue is undone once, whatever place gets free meanwhile', async () => {
  const { open: free, pass: busy } = gate();
  const { open: go, pass: slowly } = gate();
  const undone: string[] = [];
  const handler: Partial<OperationHandler> = {
    heavy: true,
    run: async (context) => (await busy(context), {}),
    undo: async (context) => {
      undone.push(context.operation.id);
      await slowly(context);
      return {};
    },
  };
  await worker(handler, undefined, 2);
  const running = [await begin(), await begin()];
  for (const { id } of running) await seen(id, ({ state }) => state === 'running');
  const queued = await begin();
  await asker.operations.cancel(queued.id);
  await until('the undo', () => undone.length > 0);
  free();
  for (const { id } of [...running, await begin()])
    expect(await asker.operations.settled(id, 30_000)).toMatchObject({ state: 'succeeded' });
  go();
  expect(await asker.operations.settled(queued.id, 30_000)).toMatchObject({ state: 'cancelled', attempt: 1 });
  expect(undone).toEqual([queued.id]);
});

it('a cancel in the queue is undone by one broker of several that see it at once', async () => {
  const { open: free, pass: busy } = gate();
  const undone: string[] = [];
  const handler: Partial<OperationHandler> = {
    heavy: true,
    run: async (context) => (await busy(context), {}),
    undo: ({ operation }) => (undone.push(operation.id), Promise.resolve({})),
  };
  await worker(handler);
  await worker(handler);
  const running = [await begin(), await begin()];
  for (const { id } of running) await seen(id, ({ state }) => state === 'running');
  const queued = await begin();
  const { dataSource } = asker;
  await dataSource.query(`
    CREATE FUNCTION claimed_slowly() RETURNS trigger LANGUAGE plpgsql AS
      'BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NEW; END';
    CREATE TRIGGER claimed_slowly BEFORE UPDATE ON operation FOR EACH ROW
      WHEN (OLD.attempt <> NEW.attempt) EXECUTE FUNCTION claimed_slowly()`);
  try {
    await dataSource.transaction(async (manager) => {
      await manager.query('SELECT pg_advisory_xact_lock(4711)');
      await asker.operations.cancel(queued.id);
      await until('both to wait for each other', async () => {
        const waiting = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
        return (await dataSource.query<unknown[]>(waiting)).length === 2;
      });
    });
    const ended = await asker.operations.settled(queued.id, 30_000);
    expect(ended).toMatchObject({ state: 'cancelled', attempt: 1 });
  } finally {
    await dataSource.query('DROP TRIGGER claimed_slowly ON operation; DROP FUNCTION claimed_slowly()');
  }
  free();
  for (const { id } of running) await asker.operations.settled(id, 30_000);
  expect(undone).toEqual([queued.id]);
});

it('shows progress with what is left, reckoned from what is done', async () => {
  const { open, pass } = gate();
  await worker({
    run: async (context) => {
      await context.phase('dumping');
      for (const bytes of [1, 2, 50]) context.progress({ bytes, total_bytes: 200 });
      await pass(context);
      await context.phase('recording');
      return {};
    },
  });
  const { id } = await begin();
  const { progress } = await seen(id, (operation) => operation.progress.bytes !== undefined);
  expect(progress).toMatchObject({ bytes: 50, total_bytes: 200, percent: 25, eta_ms: expect.any(Number) as number });
  open();
  expect(await asker.operations.settled(id, 30_000)).toMatchObject({ phase: 'recording', progress: {} });
});

it('reckons percent and time where they can be known', () => {
  expect(withEta({ bytes: 10 }, 1000)).toEqual({ bytes: 10 });
  expect(withEta({ percent: 0 }, 1000)).toEqual({ percent: 0 });
  expect(withEta({ bytes: 0, total_bytes: 0 }, 1000)).toEqual({ bytes: 0, total_bytes: 0 });
  expect(withEta({ percent: 20 }, 1000)).toEqual({ percent: 20, eta_ms: 4000 });
  expect(withEta({ bytes: 300, total_bytes: 200 }, 1000)).toEqual({
    bytes: 300,
    total_bytes: 200,
    percent: 100,
    eta_ms: 0,
  });
});
