import { type SpawnedBroker, spawnBroker } from '../support/broker.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { credentialsOf, later } from '../support/platform.js';
import { session, sql } from '../support/sql.js';

const MANY = Array.from({ length: 64 }, (_, n) => `load-${n}`);
const MAX_CONNECTIONS = 12;

let cluster: Cluster;
let broker: SpawnedBroker;

beforeAll(async () => {
  cluster = await startCluster();
  broker = await spawnBroker({ cluster, config: { servers: [{ max_connections: MAX_CONNECTIONS }] } });
});

afterAll(async () => {
  await broker?.stop();
  await cluster?.remove();
});

/** The most sessions of the broker's role, and the most CREATE DATABASE at a time, seen while `during` ran. */
async function peaks(during: () => Promise<void>): Promise<{ sessions: number; creating: number }> {
  const watcher = await session(cluster.superuserUrl());
  const role = new URL(cluster.brokerUrl()).username;
  const peak = { sessions: 0, creating: 0 };
  let over = false;
  const watch = (async () => {
    while (!over) {
      const { rows } = await watcher.query<{ sessions: number; creating: number }>(
        `SELECT count(*)::int AS sessions,
                count(*) FILTER (WHERE state = 'active' AND query ILIKE 'CREATE DATABASE%')::int AS creating
         FROM pg_stat_activity WHERE usename = $1`,
        [role],
      );
      peak.sessions = Math.max(peak.sessions, rows[0]?.sessions ?? 0);
      peak.creating = Math.max(peak.creating, rows[0]?.creating ?? 0);
    }
  })();
  await during().finally(() => (over = true));
  await watch;
  await watcher.end();
  return peak;
}

it('64 provisions at once end well, within the bounds of connections and of CREATE DATABASE', async () => {
  const seen = await peaks(async () => {
    const answers = await Promise.all(MANY.map((id) => broker.platform.provision(id, {}, later)));
    expect(answers.map(({ status }) => status)).toEqual(MANY.map(() => 201));
  });
  expect(seen.sessions).toBeLessThanOrEqual(MAX_CONNECTIONS);
  expect(seen.creating).toBeLessThanOrEqual(4);
  expect(seen.creating).toBeGreaterThan(0);
  await broker.home.estate.expectExactly(MANY);
});

it('64 binds at once end well, on 64 instances and 64 on one', async () => {
  const seen = await peaks(async () => {
    const answers = await Promise.all([
      ...MANY.map((id) => broker.platform.bind(id, 'own')),
      ...MANY.map((id) => broker.platform.bind('load-0', id)),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([...MANY, ...MANY].map(() => 201));
    const uris = answers.map((answer) => credentialsOf(answer).uri);
    expect(new Set(uris).size).toBe(2 * MANY.length);
    for (const uri of uris.filter((_, n) => n % 16 === 0))
      expect(await sql(uri, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });
  expect(seen.sessions).toBeLessThanOrEqual(MAX_CONNECTIONS);
  await broker.home.estate.expectExactly(MANY, [...MANY.map((id) => `${id}/own`), ...MANY.map((id) => `load-0/${id}`)]);
});

it('then all are unbound and deprovisioned at once, and nothing is left', async () => {
  const seen = await peaks(async () => {
    const unbound = await Promise.all([
      ...MANY.map((id) => broker.platform.unbind(id, 'own')),
      ...MANY.map((id) => broker.platform.unbind('load-0', id)),
    ]);
    expect(unbound.map(({ status }) => status)).toEqual([...MANY, ...MANY].map(() => 200));
    const gone = await Promise.all(MANY.map((id) => broker.platform.deprovision(id, later)));
    expect(gone.map(({ status }) => status)).toEqual(MANY.map(() => 200));
  });
  expect(seen.sessions).toBeLessThanOrEqual(MAX_CONNECTIONS);
  await broker.home.estate.expectExactly([]);
});
