import { StartError } from '../../../src/errors.js';
import { secret } from '../../support/broker-home.js';
import { type Cluster, startCluster } from '../../support/cluster.js';
import { buildNode, type OperationsNode } from '../../support/operations-node.js';
import { sql } from '../../support/sql.js';

let cluster: Cluster;
const nodes: OperationsNode[] = [];

beforeAll(async () => {
  cluster = await startCluster();
});

afterAll(async () => {
  await Promise.all(nodes.map((node) => node.stop().catch(() => undefined)));
  await cluster.remove();
});

/** A role, and a database that `owner` owns. */
async function nodeAs(role: string, owner: string): Promise<OperationsNode> {
  const password = secret();
  await sql(cluster.superuserUrl(), `CREATE ROLE ${role} LOGIN PASSWORD '${password}'`);
  await sql(cluster.superuserUrl(), `CREATE DATABASE ${role} OWNER ${owner}`);
  const node = await buildNode({ stateUrl: `postgres://${role}:${password}@${cluster.host}:${cluster.port}/${role}` });
  nodes.push(node);
  return node;
}

async function started({ state, operations }: OperationsNode): Promise<void> {
  await state.connect(AbortSignal.timeout(60_000));
  await operations.start();
}

it('works as a role whose search path holds no schema of the database', async () => {
  const node = await nodeAs('narrow', 'narrow');
  await sql(cluster.superuserUrl(), 'ALTER ROLE narrow SET search_path = pg_catalog');
  await started(node);
  expect((await node.operations.list({ limit: 1 })).operations).toEqual([]);
});

it('says what a role lacks that may not make tables', async () => {
  const refused: unknown = await started(await nodeAs('strange', 'postgres')).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(StartError);
  expect((refused as Error).message).toBe(
    "the role strange of state.url may not make the broker's tables in database strange " +
      '(permission denied for schema public): it must own the database, and the schema public must be there',
  );
});

it('says what a role lacks that may make tables, but no schema', async () => {
  const node = await nodeAs('halfway', 'postgres');
  await sql(cluster.superuserUrl('halfway'), 'GRANT CREATE ON SCHEMA public TO halfway');
  const refused: unknown = await started(node).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(StartError);
  expect((refused as Error).message).toMatch(/role halfway .*permission denied for database halfway/);
});
