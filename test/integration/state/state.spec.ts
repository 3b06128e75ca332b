import { QueryFailedError } from 'typeorm';
import { BrokerError } from '../../../src/errors.js';
import { ServiceInstance } from '../../../src/instances/service-instance.entity.js';
import { MIGRATIONS } from '../../../src/state/migrations/migrations.js';
import { stateUnreachable, violates } from '../../../src/state/state-errors.js';
import { type Cluster, startCluster } from '../../support/cluster.js';
import { buildNode, type OperationsNode } from '../../support/operations-node.js';
import { sql } from '../../support/sql.js';
import { until } from '../../support/until.js';

let cluster: Cluster;
const nodes: OperationsNode[] = [];

beforeAll(async () => {
  cluster = await startCluster();
});

afterAll(async () => {
  await Promise.all(nodes.map((node) => node.stop().catch(() => undefined)));
  await cluster.remove();
});

async function node(stateUrl = cluster.stateUrl()): Promise<OperationsNode> {
  const built = await buildNode({ stateUrl });
  nodes.push(built);
  return built;
}

const signal = () => AbortSignal.timeout(60_000);

it('lets three brokers start at once on an empty state database', async () => {
  const three = await Promise.all([node(), node(), node()]);
  await Promise.all(
    three.map(async ({ state, operations }) => {
      await state.connect(signal());
      await operations.start();
    }),
  );
  const tables = await sql(
    cluster.stateUrl(),
    `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1`,
  );
  expect(tables.map((row) => row['table_name'])).toEqual(
    expect.arrayContaining(['migration', 'operation', 'service_binding', 'service_instance']),
  );
  expect(await sql(cluster.stateUrl(), 'SELECT name FROM migration')).toHaveLength(MIGRATIONS.length);
  expect(await sql(cluster.stateUrl(), 'SELECT version FROM pgboss.version')).toHaveLength(1);
});

it('has a column for every property of the entities, and no other', async () => {
  const { dataSource } = nodes[0] as OperationsNode;
  for (const { tableName, columns } of dataSource.entityMetadatas) {
    const found = await sql(
      cluster.stateUrl(),
      `SELECT column_name, data_type, is_nullable = 'YES' AS nullable, collation_name FROM information_schema.columns
       WHERE table_schema = 'public' AND table_name = $1`,
      [tableName],
    );
    const told = columns.map(({ databaseName, isNullable, type }) => ({
      column_name: databaseName,
      data_type:
        { timestamptz: 'timestamp with time zone', int: 'integer' }[String(type).replace('int4', 'int')] ??
        String(type),
      nullable: isNullable,
      collation_name: type === 'text' ? 'C' : null,
    }));
    const byName = (one: { column_name?: unknown }, other: { column_name?: unknown }) =>
      String(one.column_name).localeCompare(String(other.column_name));
    expect(found.sort(byName)).toEqual(told.sort(byName));
  }
});

it('names the constraint that refused a write', async () => {
  const { dataSource } = nodes[0] as OperationsNode;
  const row = {
    id: 'Same',
    serviceId: 's',
    planId: 'p',
    parameters: {},
    fingerprint: 'f',
    context: {},
    maintenanceVersion: null,
    state: 'ready' as const,
    server: 'one',
    database: 'd',
    ownerRole: 'o',
    connectRole: 'c',
    readerRole: 'r',
    diverged: false,
  };
  await dataSource.manager.insert(ServiceInstance, row);
  await dataSource.manager.insert(ServiceInstance, { ...row, id: 'same' });
  const refused: unknown = await dataSource.manager.insert(ServiceInstance, row).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(QueryFailedError);
  expect(violates(refused, 'service_instance_pkey')).toBe(true);
  expect(violates(refused, 'operation_active_instance')).toBe(false);
});

it('tries until the state database answers, or the signal aborts', async () => {
  await cluster.stop();
  const [waiting, leaving] = await Promise.all([node(), node()]);
  const connected = waiting.state.connect(signal());
  const leave = new AbortController();
  const left = leaving.state.connect(leave.signal);
  leave.abort(new Error('enough'));
  await expect(left).rejects.toThrow();
  await cluster.start();
  await connected;
  await waiting.state.ping();
});

it('says that the state database cannot be reached, and works again by itself', async () => {
  const { state, dataSource } = nodes[0] as OperationsNode;
  await until('the database', () =>
    state.ping().then(
      () => true,
      () => false,
    ),
  );
  await cluster.stop('immediate');
  // What the last second has shown is answered still.
  const fault = await until('a ping that is refused', () =>
    state.ping().then(
      () => undefined,
      (error: unknown) => error,
    ),
  );
  expect(fault).toMatchObject({ code: 'server_unreachable', status: 503 });
  const refused: unknown = await dataSource.transaction(() => Promise.resolve()).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(BrokerError);
  expect(stateUnreachable(refused)).toBe(true);
  await cluster.start();
  await until('the database', () =>
    state.ping().then(
      () => true,
      () => false,
    ),
  );
});

it('gives up on a database that hangs, in the middle of a transaction too', async () => {
  const { state, dataSource } = nodes[0] as OperationsNode;
  const paused: number[] = [];
  try {
    const within = await dataSource
      .transaction(async (manager) => {
        const [{ pid }] = await manager.query<[{ pid: number }]>('SELECT pg_backend_pid() AS pid');
        paused.push(pid);
        process.kill(pid, 'SIGSTOP');
        await manager.query('SELECT 1');
      })
      .catch((error: unknown) => error);
    expect(stateUnreachable(within)).toBe(true);
  } finally {
    for (const pid of paused) process.kill(pid, 'SIGCONT');
  }
  await state.ping();
});
