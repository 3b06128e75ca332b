import { expectDone, expectRefused } from '../support/answers.js';
import { type SpawnedBroker, spawnBroker, stopBrokers } from '../support/broker.js';
import { type Answer } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { credentialsOf, later, MEDIUM, type Platform } from '../support/platform.js';
import { holding, sql } from '../support/sql.js';
import { until } from '../support/until.js';

let server: Cluster;
let state: Cluster;
let broker: SpawnedBroker;
let platform: Platform;

const KEPT = ['a', 'b', 'c', 'd'];
const more: Cluster[] = [];
let never: ReturnType<typeof neverDone>;
let inVain: ReturnType<typeof lockedOut>;
let tooBusy: ReturnType<typeof allBusy>;

beforeAll(async () => {
  [server, state] = await Promise.all([startCluster(), startCluster()]);
  broker = await spawnBroker({ cluster: server, stateCluster: state });
  platform = broker.platform;
  never = neverDone();
  inVain = lockedOut();
  tooBusy = allBusy();
  for (const begun of [never, inVain, tooBusy]) begun.catch(() => undefined);
  for (const id of KEPT) {
    expectDone(await platform.provision(id), 201);
    expectDone(await platform.bind(id, 'kept'), 201);
  }
});

afterAll(async () => {
  await Promise.allSettled([never, inVain, tooBusy]);
  await stopBrokers();
  await Promise.all([server, state, ...more].map((cluster) => cluster?.remove()));
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

/** The calls wait in the middle of their work on the server when `strike` hits; it gives the way back. */
async function struckInTheMiddle(
  strike: (release: () => Promise<void>) => Promise<() => Promise<void> | void>,
): Promise<Answer[]> {
  return holding(server.superuserUrl(), 'pg_authid', async (release) => {
    const answers = calls();
    for (const answer of answers) answer.catch(() => undefined);
    await until('the calls to wait on the server', async () => (await waitingOn(server)).length >= 4);
    const heal = await strike(release);
    try {
      return await Promise.all(answers);
    } finally {
      await heal();
    }
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

/** Nobody does the work that this broker accepts; its cluster is an own one, since it takes most of a minute. */
async function neverDone(): Promise<{ answer: Answer; lonely: SpawnedBroker }> {
  const cluster = await startCluster();
  more.push(cluster);
  const lonely = await spawnBroker({ cluster, config: { operations: { roles: ['api'] } } });
  return { answer: await lonely.platform.provision('never'), lonely };
}

/** Somebody else keeps locks on what the calls want to change. */
async function lockedOut(): Promise<{ answers: Answer[]; locked: SpawnedBroker }> {
  const cluster = await startCluster();
  more.push(cluster);
  const locked = await spawnBroker({ cluster });
  expectDone(await locked.platform.provision('a'), 201);
  const answers = await holding(cluster.superuserUrl(), 'pg_authid', () =>
    Promise.all([locked.platform.provision('b'), locked.platform.bind('a', 'b')]),
  );
  return { answers, locked };
}

/** All sessions that the broker may have on the server are busy for longer than a call may wait. */
async function allBusy(): Promise<{ answer: Answer; busy: SpawnedBroker }> {
  const cluster = await startCluster();
  more.push(cluster);
  const config = { servers: [{ max_connections: 2 }], http: { sync_wait: '300ms' } };
  const busy = await spawnBroker({ cluster, config });
  for (const id of ['x', 'y', 'staying']) await busy.platform.provision(id);
  const answer = await holding(cluster.superuserUrl(), 'pg_database', async () => {
    for (const id of ['x', 'y']) expectDone(await busy.platform.deprovision(id, later), 202);
    const sessions = await until('the sessions to be busy', async () => {
      const pids = await waitingOn(cluster);
      return pids.length === 2 && pids;
    });
    // For them time stands still, as in long work.
    for (const pid of sessions) process.kill(pid, 'SIGSTOP');
    try {
      return await busy.platform.bind('staying', 'b');
    } finally {
      for (const pid of sessions) process.kill(pid, 'SIGCONT');
    }
  });
  return { answer, busy };
}

/** Processes of a broker's sessions that wait for locks. */
async function waitingOn(cluster: Cluster): Promise<number[]> {
  const rows = await sql(
    cluster.superuserUrl(),
    `SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = $1`,
    [new URL(cluster.brokerUrl()).username],
  );
  return rows.map(({ pid }) => Number(pid));
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
    expectUnavailable(await struckInTheMiddle(() => server.kill().then(() => () => server.start())));
    await expectAllRightAgain();
  });

  it('killed between the steps of an update: all of them are taken back', async () => {
    const instance = async () =>
      (await broker.home.estate.state(`SELECT * FROM service_instance WHERE id = 'a'`))[0] ?? {};
    const database = String((await instance())['database']);
    const created = () => sql(server.superuserUrl(database), `SELECT FROM pg_extension WHERE extname = 'citext'`);
    await holding(server.superuserUrl(), 'pg_database', async () => {
      const answer = platform.update('a', { plan_id: MEDIUM, parameters: { extensions: ['citext'] } });
      answer.catch(() => undefined);
      await until('the first step', async () => (await created()).length === 1);
      await server.kill();
      expectUnavailable([await answer]);
    });
    expect(await instance()).toMatchObject({ state: 'ready', diverged: true });
    await server.start();
    await until('the instance to be put right', async () => (await instance())['diverged'] === false);
    expect(await created()).toEqual([]);
    expect((await platform.instance('a')).body).toMatchObject({ parameters: {} });
  });

  it('hanging in the middle of the calls: the same', async () => {
    expectUnavailable(await struckInTheMiddle(() => frozen(server)));
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
    // What the last second has shown may be answered still.
    await until('readiness to end', async () => (await health())[1] === 503);
    expect(await health()).toEqual([200, 503]);
    expectDone(await platform.catalog(), 200);
    await state.start();
    await until('readiness', async () => (await health())[1] === 200);
    await expectAllRightAgain();
  });

  it('killed in the middle of the calls: the same', async () => {
    const answers = await struckInTheMiddle(async (release) => {
      await state.kill();
      await release();
      return () => state.start();
    });
    expectUnavailable(answers);
    await expectAllRightAgain();
  });

  it('hanging in the middle of the calls: the same', async () => {
    const answers = await struckInTheMiddle(async (release) => {
      const thaw = await frozen(state);
      await release();
      return thaw;
    });
    expectUnavailable(answers);
    await expectAllRightAgain();
  });
});

describe('work that takes too long', () => {
  it('where others keep locks on the server it is ConcurrencyError, and nothing is left', async () => {
    const { answers, locked } = await inVain;
    for (const answer of answers) expectRefused(answer, 422, { error: 'ConcurrencyError' });
    await locked.home.estate.expectExactlySoon(['a']);
  });

  it('where all of the broker’s sessions are busy a bind ends in time, and is taken back', async () => {
    const { answer, busy } = await tooBusy;
    expectRefused(answer, 500, { says: /too busy: try again/ });
    await until('the rest to be taken back', async () => (await busy.home.estate.look()).bindings.length === 0);
    for (const id of ['x', 'y']) await busy.platform.deprovision(id);
    await busy.home.estate.expectExactlySoon(['staying']);
    expectDone(await busy.platform.bind('staying', 'b'), 201);
  });

  it('where the platform takes no 202 and its 60 s are nearly over it fails, and is taken back', async () => {
    const { answer, lonely } = await never;
    expectRefused(answer, 500, { says: /accepts_incomplete/ });
    await lonely.stop();
    const worker = await spawnBroker({ home: lonely.home });
    await worker.home.estate.expectExactlySoon([]);
    expect((await worker.platform.deprovision('never')).status).toBe(410);
  });
});
