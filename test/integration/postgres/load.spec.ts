import { type Cluster, startCluster } from '../../support/cluster.js';
import { session, sql } from '../../support/sql.js';
import { type Estate, estateOn, LIMITS, never, step, tenant } from './estate.js';

const MANY = 64;

/** The most that was seen at once, by looking all the time. */
async function watched(cluster: Cluster, work: () => Promise<unknown>) {
  const client = await session(cluster.superuserUrl());
  const most = { sessions: 0, creating: 0, looks: 0 };
  let done = false;
  const looking = (async () => {
    while (!done) {
      const { rows } = await client.query<{ sessions: number; creating: number }>(
        `SELECT count(*)::int AS sessions,
           count(*) FILTER (WHERE state = 'active' AND query LIKE 'CREATE DATABASE%')::int AS creating
         FROM pg_stat_activity WHERE usename = $1`,
        [new URL(cluster.brokerUrl()).username],
      );
      most.sessions = Math.max(most.sessions, rows[0]?.sessions ?? 0);
      most.creating = Math.max(most.creating, rows[0]?.creating ?? 0);
      most.looks += 1;
    }
  })();
  try {
    await work();
  } finally {
    done = true;
    await looking;
    await client.end();
  }
  return most;
}

describe.each([
  [20, MANY],
  [2, 8],
])('with at most %d sessions', (max, many) => {
  let cluster: Cluster;
  let home: Estate;
  beforeAll(async () => {
    cluster = await startCluster();
    home = estateOn(cluster, { max_connections: max });
  });
  afterAll(async () => {
    await home.servers.close();
    await cluster.remove();
  });
  const count = async (text: string) =>
    (await sql(cluster.superuserUrl(), `SELECT count(*)::int AS n FROM ${text}`))[0];

  it(`${many} instances are made at once, at most four databases at a time`, async () => {
    const names = Array.from({ length: many }, () => home.tenants.drawNames('default'));
    const most = await watched(cluster, () =>
      Promise.all(names.map((each) => home.tenants.create(each, { limits: LIMITS, extensions: [] }, step()))),
    );
    expect(most.sessions).toBeLessThanOrEqual(max);
    expect(most.creating).toBeLessThanOrEqual(4);
    expect(most.creating).toBeGreaterThan(1);
    expect(await count(`pg_database WHERE datname ~ '^d[a-z0-9]{19}$' AND datallowconn`)).toEqual({ n: many });
    const dropping = await watched(cluster, () =>
      Promise.all(names.map((each) => home.tenants.drop(each, [], step()))),
    );
    expect(dropping.sessions).toBeLessThanOrEqual(max);
    expect(await count(`pg_database WHERE datname ~ '^d[a-z0-9]{19}$'`)).toEqual({ n: 0 });
    expect(await count(`pg_roles WHERE rolname ~ '^[ocr][a-z0-9]{19}$'`)).toEqual({ n: 0 });
  });

  it(`${many} bindings of one instance are made and removed at once, of both kinds`, async () => {
    const { names } = await tenant(home, cluster, [], {});
    const roles = Array.from({ length: many }, (_, index) => ({
      role: home.tenants.drawBindingRole(),
      access: index % 4 === 0 ? ('read-only' as const) : ('read-write' as const),
      password: home.tenants.drawPassword(),
      limits: LIMITS,
    }));
    const binding = await watched(cluster, () =>
      Promise.all(roles.map((role) => home.tenants.createBinding(names, role, never))),
    );
    expect(binding.sessions).toBeLessThanOrEqual(max);
    expect(await count(`pg_roles WHERE rolname ~ '^b[a-z0-9]{19}$' AND rolcanlogin`)).toEqual({ n: many });
    const leaving = await watched(cluster, () =>
      Promise.all(roles.map(({ role }) => home.tenants.dropBinding(names, role, never))),
    );
    expect(leaving.sessions).toBeLessThanOrEqual(max);
    expect(await count(`pg_roles WHERE rolname ~ '^b[a-z0-9]{19}$'`)).toEqual({ n: 0 });
  });
});
