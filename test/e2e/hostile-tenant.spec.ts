import { expectDone } from '../support/answers.js';
import { beginBackup, ended, locked, makeBackup, tenantOf } from '../support/backups.js';
import { type RunningBroker, startBroker } from '../support/broker.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { credentialsOf } from '../support/platform.js';
import { restore } from '../support/restores.js';
import { sql } from '../support/sql.js';
import { until } from '../support/until.js';

let cluster: Cluster;
let broker: RunningBroker;

beforeAll(async () => {
  cluster = await startCluster();
  broker = await startBroker({ cluster });
});

afterAll(async () => {
  await broker?.stop();
  await cluster?.remove();
});

it('a tenant that gives rights to another’s roles and lets nobody in holds up neither unbind nor deprovision', async () => {
  const { platform, home } = broker;
  for (const id of ['hostile', 'victim']) expectDone(await platform.provision(id), 201);
  const { uri, database } = credentialsOf(await platform.bind('hostile', 'h'));
  expectDone(await platform.bind('victim', 'v-1'), 201);
  expectDone(await platform.bind('victim', 'v-2'), 201);
  const { instances, bindings } = await home.estate.look();
  const victim = instances.find(({ id }) => id === 'victim') ?? {};
  const roles = ['owner_role', 'connect_role', 'reader_role'].map((column) => String(victim[column]));
  roles.push(...bindings.filter(({ instance_id }) => instance_id === 'victim').map(({ role }) => String(role)));
  await sql(uri, `CREATE TABLE bait (a int); GRANT SELECT ON bait TO ${roles.join(', ')}`);
  const limit = (connections: number) =>
    sql(cluster.superuserUrl(), `ALTER DATABASE ${database} CONNECTION LIMIT ${connections}`);
  await limit(0);
  expectDone(await platform.unbind('victim', 'v-1'), 200);
  expectDone(await platform.deprovision('victim'), 200);
  expectDone(await platform.provision('victim'), 201);
  expectDone(await platform.deprovision('victim'), 200);
  const left = async () => (await home.estate.look()).roles.filter((role) => role.startsWith('l'));
  expect(await left()).toHaveLength(5);
  await limit(13);
  await until('the janitor to drop what was left', async () => (await left()).length === 0);
  await home.estate.expectExactly(['hostile'], ['hostile/h']);
});

it('… and neither backups nor restores, of itself or of others, for longer than it holds out', async () => {
  const { platform, home, admin } = broker;
  expectDone(await platform.provision('hostile-2'), 201);
  const { uri, database } = credentialsOf(await platform.bind('hostile-2', 'h'));
  const victim = await tenantOf(broker, cluster, 'victim-2');
  await victim.run('CREATE TABLE t AS SELECT 1 AS a');
  await sql(uri, 'CREATE TABLE bait (a int)');
  const limit = (connections: number) =>
    sql(cluster.superuserUrl(), `ALTER DATABASE ${database} CONNECTION LIMIT ${connections}`);
  let id = '';
  await locked(cluster, victim, 't', async () => {
    id = await beginBackup(broker, 'victim-2', { name: 'kept' });
    const waiting = `SELECT usename AS role FROM pg_stat_activity WHERE usename ~ '^e' AND wait_event_type = 'Lock'`;
    const dumping = await until('the dump', async () => (await sql(cluster.superuserUrl(), waiting))[0]);
    await sql(uri, `GRANT ALL ON bait TO ${String(dumping['role'])}, ${victim.owner} WITH GRANT OPTION`);
    await limit(0);
  });
  expect(await ended(broker, id)).toMatchObject({ state: 'succeeded' });
  expectDone(await restore(broker, 'victim-2', 'kept'), 200);
  expect((await makeBackup(broker, 'hostile-2')).body['code']).toMatch(/^(conflict|concurrency)$/);
  await limit(13);
  expectDone(await makeBackup(broker, 'hostile-2', { name: 'own' }), 201);
  expectDone(await restore(broker, 'hostile-2', 'own'), 200);
  await limit(0);
  expectDone(await platform.deprovision('hostile-2'), 200);
  const left = async () => (await home.estate.look()).roles.filter((role) => /^[le]/.test(role));
  await until('the janitor to drop what was left', async () => (await left()).length === 0);
  expect((await admin.get('/backups/victim-2/kept')).body).toMatchObject({ state: 'available' });
  expect(await victim.run('SELECT a FROM t')).toEqual([{ a: 1 }]);
});
