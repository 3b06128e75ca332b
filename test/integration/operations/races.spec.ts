import { type Client } from 'pg';
import { type OperationContext, type Outcome } from '../../../src/operations/operation-handler.js';
import { type OperationKind } from '../../../src/operations/operation.entity.js';
import { type NewOperation } from '../../../src/operations/operation-store.js';
import { type Cluster, startCluster } from '../../support/cluster.js';
import { gate, type OperationsNode, startNode } from '../../support/operations-node.js';
import { session, sql } from '../../support/sql.js';
import { until } from '../../support/until.js';

const OTHER = 'othernode/process';

let cluster: Cluster;
let asker: OperationsNode;
const workers: OperationsNode[] = [];
let instances = 0;

beforeAll(async () => {
  cluster = await startCluster();
  asker = await startNode({ stateUrl: cluster.stateUrl(), operations: { roles: ['api'] } });
});

afterEach(() => Promise.all(workers.splice(0).map((worker) => worker.stop())));

afterAll(async () => {
  await asker.stop();
  await cluster.remove();
});

function ask(kind: OperationKind = 'provision'): NewOperation {
  return { kind, instanceId: `instance ${++instances}`, requestedBy: { realm: 'broker' }, requestId: 'r' };
}

/** As a broker takes a job, and its beats last. */
async function takeJob(client: Pick<Client, 'query'>, id: string): Promise<void> {
  await client.query(
    `UPDATE pgboss.job SET state = 'active', heartbeat_on = now() + interval '1 hour',
       retry_count = retry_count + (started_on IS NOT NULL)::int, started_on = now() WHERE id = $1`,
    [id],
  );
}

/** As a broker claims the operation of a job that it has taken. */
async function claim(client: Pick<Client, 'query'>, id: string, runner: string): Promise<void> {
  await client.query(
    `UPDATE operation SET state = 'running', attempt = attempt + 1, runner = $2, started_at = now() WHERE id = $1`,
    [id, runner],
  );
}

async function jobOf(id: string): Promise<unknown> {
  return (await sql(cluster.stateUrl(), 'SELECT state, retry_count FROM pgboss.job WHERE id = $1', [id]))[0];
}

/** Works as another broker beside the nodes of the test, in one transaction. */
async function beside(work: (other: Client) => Promise<void>): Promise<void> {
  const other = await session(cluster.stateUrl());
  try {
    await other.query('BEGIN');
    await work(other);
    await other.query('COMMIT');
  } finally {
    await other.end();
  }
}

/** Somebody waits for what that session has locked. */
async function untilWaiting(other: Client): Promise<void> {
  const { rows } = await other.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  await until('a session to wait', async () => {
    const waiting = 'SELECT FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))';
    return (await sql(cluster.stateUrl(), waiting, [rows[0]?.pid])).length > 0;
  });
}

it('leaves what a former process had begun to the broker that takes it in the same moment', async () => {
  const { id } = await asker.operations.begin(ask());
  await beside(async (former) => {
    await takeJob(former, id);
    await claim(former, id, 'samenode/former');
  });
  let runs = 0;
  const handlers = [{ kind: 'provision' as const, run: () => Promise.resolve({ result: { runs: ++runs } }) }];
  let starting: Promise<unknown> | undefined;
  await beside(async (other) => {
    await takeJob(other, id);
    await claim(other, id, OTHER);
    starting = startNode({ stateUrl: cluster.stateUrl(), node: 'samenode', handlers }).then((node) =>
      workers.push(node),
    );
    await untilWaiting(other);
  });
  await starting;
  const later = await asker.operations.begin(ask());
  await asker.operations.settled(later.id, 30_000);
  expect(await asker.operations.find(id)).toMatchObject({ state: 'running', attempt: 2, runner: OTHER });
  expect(await jobOf(id)).toEqual({ state: 'active', retry_count: 1 });
  expect(runs).toBe(1);
});

describe('an attempt that succeeded', () => {
  let undone = 0;
  const undo = () => Promise.resolve({ result: { undone: ++undone } });

  /** A worker whose handler is at the point of returning. */
  async function atItsEnd(conclude?: Outcome['conclude']) {
    undone = 0;
    const { open, pass } = gate();
    const run = async (context: OperationContext) => {
      await pass(context);
      return conclude === undefined ? {} : { conclude };
    };
    const worker = await startNode({ stateUrl: cluster.stateUrl(), handlers: [{ kind: 'update', run, undo }] });
    workers.push(worker);
    const { id } = await asker.operations.begin(ask('update'));
    await until('the operation to run', async () => (await asker.operations.find(id)).state === 'running');
    return { worker, id, open };
  }

  it('waits for a broker that is taking its operation over, and that one never for it', async () => {
    const { id, open } = await atItsEnd();
    await beside(async (other) => {
      await takeJob(other, id);
      open();
      await untilWaiting(other);
      await claim(other, id, OTHER);
      await other.query('ROLLBACK');
    });
    expect(await asker.operations.settled(id, 30_000)).toMatchObject({ state: 'succeeded', attempt: 1 });
    expect(undone).toBe(0);
  });

  it('takes nothing from the broker that took its operation over before it could end', async () => {
    const { worker, id, open } = await atItsEnd();
    await beside(async (other) => {
      await takeJob(other, id);
      open();
      await untilWaiting(other);
      await claim(other, id, OTHER);
    });
    await worker.stop();
    expect(await asker.operations.find(id)).toMatchObject({ state: 'running', attempt: 2, runner: OTHER });
    expect(await jobOf(id)).toEqual({ state: 'active', retry_count: 1 });
    expect(undone).toBe(0);
  });

  it.each(['40P01', '40001'])(
    'ends though its last transaction is given up once for another one (%s)',
    async (code) => {
      let tries = 0;
      const { id, open } = await atItsEnd(async (manager) => {
        if (++tries === 1) await manager.query(`DO $$BEGIN RAISE SQLSTATE '${code}'; END$$`);
      });
      open();
      expect(await asker.operations.settled(id, 30_000)).toMatchObject({ state: 'succeeded', attempt: 1 });
      expect([tries, undone]).toEqual([2, 0]);
    },
  );
});
