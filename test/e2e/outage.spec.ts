import { expectDone, expectRefused } from '../support/answers.js';
import { type SpawnedBroker, spawnBroker, stopBrokers } from '../support/broker.js';
import { type Answer } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { credentialsOf, MEDIUM, type Platform } from '../support/platform.js';
import { holding, sql } from '../support/sql.js';
import { until } from '../support/until.js';

let server: Cluster;
let state: Cluster;
let broker: SpawnedBroker;
let platform: Platform;

const KEPT = ['a', 'b', 'c', 'd'];
const slow: Cluster[] = [];
let slowly: ReturnType<typeof tooSlow>;

beforeAll(async () => {
  [server, state] = await Promise.all([startCluster(), startCluster()]);
  broker = await spawnBroker({ cluster: server, stateCluster: state });
  platform = broker.platform;
  slowly = tooSlow();
  slowly.catch(() => undefined);
  for (const id of KEPT) {
    expectDone(await platform.provision(id), 201);
    expectDone(await platform.bind(id, 'kept'), 201);
  }
});

afterAll(async () => {
  await slowly?.catch(() => undefined);
  await stopBrokers();
  await Promise.all([server, state, ...slow].map((cluster) => cluster?.remove()));
});

/** One call of every kind that needs the server, each on an instance of its own. */
function calls(): Promise<Answer>[] {
  return [
    platform.provision('new'),
    platform.update('a', { plan_id: MEDIUM }),
    platform.bind('b', 'new'),
    platform.unbind('c', 'kept'),
    platform.deprovision('d'),
  ];
}

function expectUnavailable(answers: Answer[]): void {
  for (const answer of answers) {
    expectRefused(answer, 503);
    expect(answer.headers['retry-after']).toMatch(/^\d+$/);
  }
}

/** The platform repeats what failed until it is done, takes it back, and then all is as in the beginning. */
async function expectAllRightAgain(): Promise<void> {
  const done = (what: string, statuses: number[], ask: () => Promise<Answer>) =>
    until(what, async () => {
      const answer = await ask();
      if (answer.status !== 503 && answer.status !== 422) expect(statuses).toContain(answer.status);
      return statuses.includes(answer.status);
    });
  await done('the provision', [200, 201], () => platform.provision('new'));
  await done('the update', [200], () => platform.update('a', { plan_id: MEDIUM }));
  await done('the bind', [200, 201], () => platform.bind('b', 'new'));
  expect(await sql(credentialsOf(await platform.binding('b', 'new')).uri, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  await done('the unbind', [200, 410], () => platform.unbind('c', 'kept'));
  await done('the deprovision', [200, 410], () => platform.deprovision('d'));
  await broker.home.estate.expectExactly(['a', 'b', 'c', 'new'], ['a/kept', 'b/kept', 'b/new']);
  expectDone(await platform.deprovision('new'), 200);
  expectDone(await platform.update('a', { plan_id: '0c5e7c56-2b0d-4b8e-8d4b-0b8b3f5f6a11' }), 200);
  expectDone(await platform.unbind('b', 'new'), 200);
  expectDone(await platform.bind('c', 'kept'), 201);
  expectDone(await platform.provision('d'), 201);
  expectDone(await platform.bind('d', 'kept'), 201);
  await broker.home.estate.expectExactly(
    KEPT,
    KEPT.map((id) => `${id}/kept`),
  );
}

/** The calls wait in the middle of their work on the server when `strike` hits it. */
async function struckInTheMiddle(strike: () => Promise<void>): Promise<Answer[]> {
  return holding(server.superuserUrl(), 'pg_authid', async () => {
    const answers = calls();
    for (const answer of answers) answer.catch(() => undefined);
    await until('the calls to wait on the server', async () => {
      const [row] = await sql(
        server.superuserUrl(),
        `SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = $1`,
        [new URL(server.brokerUrl()).username],
      );
      return Number(row?.['n']) >= 4;
    });
    await strike();
    return Promise.all(answers);
  });
}

/** Stops every process of a cluster without ending any, as a machine that hangs; gives the way back. */
async function frozen(cluster: Cluster): Promise<() => void> {
  const rows = await sql(cluster.superuserUrl(), 'SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()');
  const pids = [cluster.pid, ...rows.map(({ pid }) => Number(pid))];
  const signal = (name: NodeJS.Signals) => {
    for (const pid of pids)
      try {
        process.kill(pid, name);
      } catch {
        // That one ended meanwhile.
      }
  };
  signal('SIGSTOP');
  return () => signal('SIGCONT');
}

/** A server that lets the broker in and then takes longer than any platform waits. */
async function tooSlow(): Promise<{ answers: Answer[]; home: SpawnedBroker['home'] }> {
  const cluster = await startCluster();
  slow.push(cluster);
  const patient = await spawnBroker({ cluster, config: { http: { sync_wait: '1s' } } });
  expectDone(await patient.platform.provision('a'), 201);
  const answers = await holding(cluster.superuserUrl(), 'pg_authid', () =>
    Promise.all([patient.platform.provision('slow'), patient.platform.bind('a', 'slow')]),
  );
  return { answers, home: patient.home };
}

describe('a server of instances', () => {
  it('stopped: every call that needs it is a clear 503, what does not need it goes on; then all works by itself', async () => {
    await server.stop('immediate');
    expectUnavailable(await Promise.all(calls()));
    expectDone(await platform.binding('a', 'kept'), 200);
    expectDone(await platform.instance('a'), 200);
    await server.start();
    await expectAllRightAgain();
  });

  it('killed in the middle of the calls: the same', async () => {
    expectUnavailable(await struckInTheMiddle(() => server.kill()));
    await server.start();
    await expectAllRightAgain();
  });

  it('hanging in the middle of the calls: the same', async () => {
    let thaw: (() => void) | undefined;
    try {
      expectUnavailable(
        await struckInTheMiddle(async () => {
          thaw = await frozen(server);
        }),
      );
    } finally {
      thaw?.();
    }
    await expectAllRightAgain();
  });
});

describe('the state database', () => {
  const health = async () => {
    const open = broker.admin.as(undefined);
    return [(await open.get('/healthz')).status, (await open.get('/readyz')).status];
  };
  const everything = () =>
    Promise.all([...calls(), platform.binding('a', 'kept'), platform.instance('a'), platform.lastOperation('a')]);

  it('stopped: every call is a clear 503, the broker is alive and not ready; then all works by itself', async () => {
    expect(await health()).toEqual([200, 200]);
    await state.stop('immediate');
    expectUnavailable(await everything());
    expect(await health()).toEqual([200, 503]);
    expectDone(await platform.catalog(), 200);
    await state.start();
    await until('readiness', async () => (await health())[1] === 200);
    await expectAllRightAgain();
  });

  it('killed in the middle of the calls: the same', async () => {
    expectUnavailable(await struckInTheMiddle(() => state.kill()));
    await state.start();
    await expectAllRightAgain();
  });

  it('hanging in the middle of the calls: the same', async () => {
    let thaw: (() => void) | undefined;
    try {
      expectUnavailable(
        await struckInTheMiddle(async () => {
          thaw = await frozen(state);
        }),
      );
    } finally {
      thaw?.();
    }
    await expectAllRightAgain();
  });
});

it('work that a platform does not want to wait for, and that is not done near its 60 s, fails and is taken back', async () => {
  const { answers, home } = await slowly;
  for (const answer of answers) {
    expect(answer.status).toBeGreaterThanOrEqual(500);
    expectRefused(answer, answer.status);
  }
  await home.estate.expectExactlySoon(['a']);
});
