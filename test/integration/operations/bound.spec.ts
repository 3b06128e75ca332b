import { type OperationHandler } from '../../../src/operations/operation-handler.js';
import { type Operation } from '../../../src/operations/operation.entity.js';
import { gate, memoOf } from '../../support/operations-node.js';
import { until } from '../../support/until.js';
import { asker, begin, newInstance, seen, stopped, worker } from './workers.js';

describe('bound to a node', () => {
  const attempts: string[] = [];
  const bound = (until: string): Partial<OperationHandler> => ({
    run: async (context) => {
      attempts.push(`run at ${context.operation.runner?.split('/')[0]}`);
      await context.remember({ node: 'home00000000', node_until: until });
      if (context.operation.attempt === 1) await stopped(context);
      return {};
    },
    undo: ({ operation }) => {
      attempts.push(`undo at ${operation.runner?.split('/')[0]}`);
      return Promise.resolve({});
    },
  });
  const late = new Date(Date.now() + 3_600_000).toISOString();

  beforeEach(() => attempts.splice(0));

  async function leftByHome(limit: string): Promise<Operation> {
    const home = await worker(bound(limit), 'home00000000');
    const operation = await begin();
    await until('its node is remembered', async () => (await memoOf(asker, operation.id)).node);
    await home.stop();
    return operation;
  }

  it('an operation is left to it', async () => {
    const { id } = await leftByHome(late);
    await worker(bound(late), 'other0000000');
    expect(await asker.operations.settled(id, 2_500)).toMatchObject({ state: 'queued', attempt: 1 });
    await worker(bound(late), 'home00000000');
    expect(await asker.operations.settled(id, 30_000)).toMatchObject({ state: 'succeeded', attempt: 2 });
    expect(attempts).toEqual(['run at home00000000', 'run at home00000000']);
  });

  it('an operation is ended by any other once it is cancelled', async () => {
    const { id } = await leftByHome(late);
    await worker(bound(late), 'other0000000');
    expect(await asker.operations.settled(id, 1_500)).toMatchObject({ state: 'queued' });
    await asker.operations.cancel(id);
    expect(await asker.operations.settled(id, 30_000)).toMatchObject({ state: 'cancelled' });
    expect(attempts).toEqual(['run at home00000000', 'undo at other0000000']);
  });

  it('an operation is taken by any other once it has waited too long', async () => {
    const { id } = await leftByHome(new Date().toISOString());
    await worker(bound(late), 'other0000000');
    expect(await asker.operations.settled(id, 30_000)).toMatchObject({ state: 'succeeded', attempt: 2 });
    expect(attempts).toEqual(['run at home00000000', 'run at other0000000']);
  });

  const soonOver = () => new Date(Date.now() + 2_000).toISOString();
  const beginAt = (node: string, node_until: string) => {
    const ask = { kind: 'backup', requestedBy: { realm: 'broker' }, requestId: 'r' } as const;
    const memo = { node, node_until };
    return asker.operations.begin({ ...ask, instanceId: newInstance(), memo });
  };

  it('an operation comes to it at once, whoever has thrown its job away', async () => {
    const other = await worker({}, 'other0000000');
    const { id } = await beginAt('home00000000', late);
    const job = `SELECT FROM pgboss.job WHERE id = '${id}'`;
    await until('the job is thrown away', async () => (await asker.dataSource.query<unknown[]>(job)).length === 0);
    const home = await worker({}, 'home00000000');
    const second = await beginAt('home00000000', late);
    for (const each of [id, second.id])
      expect(await asker.operations.settled(each, 30_000)).toMatchObject({ state: 'succeeded', runner: home.runner });
    expect(other.runner).not.toBe(home.runner);
  });

  it('an operation waits for it as long as it lives, however busy it is', async () => {
    const busy = gate();
    const home = await worker({ heavy: true, run: (context) => busy.pass(context).then(() => ({})) }, 'home00000000');
    const first = await begin();
    await seen(first.id, ({ state }) => state === 'running');
    const { id } = await beginAt('home00000000', soonOver());
    await worker({}, 'other0000000');
    await until('its time is over', async () => {
      const extended = Date.parse((await memoOf(asker, id)).node_until ?? '') > Date.now() + 10_000;
      return extended || (await asker.operations.find(id)).state !== 'queued';
    });
    expect(await asker.operations.find(id)).toMatchObject({ state: 'queued' });
    busy.open();
    expect(await asker.operations.settled(id, 30_000)).toMatchObject({ state: 'succeeded', runner: home.runner });
  });

  it('an operation is taken by any other soon after its time is over, though its job is thrown away', async () => {
    const other = await worker({}, 'other0000000');
    const { id } = await beginAt('home00000000', soonOver());
    const ended = await asker.operations.settled(id, 30_000);
    expect(ended).toMatchObject({ state: 'succeeded', runner: other.runner });
  });
});
