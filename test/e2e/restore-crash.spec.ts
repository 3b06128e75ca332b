import { makeBackup, things } from '../support/backups.js';
import { type SpawnedBroker } from '../support/broker.js';
import { type Json } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { eachPoint, killedAt, spawnMortal, statementsOf } from '../support/killing.js';
import { credentialsOf } from '../support/platform.js';
import { session, sql } from '../support/sql.js';
import { until } from '../support/until.js';
import { foreignArchive, rawUpload, uploadPath } from '../support/uploads.js';

let cluster: Cluster;
let broker: SpawnedBroker;
let uri: string;
beforeAll(async () => {
  cluster = await startCluster();
  broker = await spawnMortal({ cluster });
  await broker.platform.provision('i');
  uri = credentialsOf(await broker.platform.bind('i', 'b')).uri;
  await sql(uri, `CREATE TABLE t AS SELECT i, md5(i::text) FROM generate_series(1, 3000) i`);
  await makeBackup(broker, 'i');
  await sql(uri, `DELETE FROM t WHERE i > 10`);
});
afterAll(async () => {
  await broker?.stop();
  await cluster?.remove();
});

const post = (path: string) => broker.admin.send('POST', path);
const rows = async () => Number((await sql(uri, 'SELECT count(*)::int AS n FROM t'))[0]?.['n']);

/** The newest operation, once it has ended in the broker that came back. */
async function newestEnded(): Promise<Json> {
  return until('the end of the operation', async () => {
    const [row] = (await broker.admin.get('/operations?instance_id=i&limit=1')).body['operations'] as Json[];
    return row !== undefined && !['queued', 'running'].includes(String(row['state'])) && row;
  });
}

/** One restore point at most, and nothing else beside what instance and binding need. */
async function expectTidy(points: number): Promise<void> {
  await until('the older restore point to go', async () => {
    const left = await broker.home.estate.state('SELECT FROM discarded_database');
    return left.length === 0;
  });
  const { databases, roles, active, jobs, instances } = await broker.home.estate.look();
  const live = String(instances[0]?.['database']);
  const point = await broker.home.estate.state('SELECT database FROM restore_point');
  expect(databases).toEqual([live, ...point.map(({ database }) => String(database))].sort());
  expect(point).toHaveLength(points);
  expect(roles.filter((role) => /^e/.test(role))).toEqual([]);
  expect({ active, jobs, spool: (await things(broker)).spool }).toEqual({ active: [], jobs: [], spool: [] });
}

/** What comes after the swap ends sessions as often as it takes: its statements cannot be counted. */
const untilSwap = (flow: string[]) => flow.slice(0, flow.findIndex((text) => text.includes('RENAME TO')) + 1);

it('kill -9 while a statement of a restore is on its way: it is done whole after the next start', async () => {
  const ask = () => post('/restore_instance/i/latest');
  const flow = untilSwap(await statementsOf(broker, ask));
  await eachPoint(
    () => broker,
    flow,
    6,
    async (_n, point) => {
      await killedAt(broker, point, ask);
      await sql(uri, 'SELECT 1');
      broker = await spawnMortal({ home: broker.home });
      const { state, error, result } = await newestEnded();
      expect({ state, error }).toEqual({ state: 'succeeded', error: undefined });
      expect((result as Json)['restore_point']).toBeDefined();
      expect(await rows()).toBe(3000);
      await expectTidy(1);
    },
  );
});

it('a server that goes away in the middle of the swap is waited for', async () => {
  const holder = await session(cluster.superuserUrl());
  await holder.query('BEGIN; LOCK TABLE pg_shdepend IN ACCESS EXCLUSIVE MODE');
  const asked = broker.admin.send('POST', '/undo_restore/i', { headers: { prefer: 'respond-async' } });
  const { id } = (await asked).body;
  await until(
    'the swap',
    async () => (await broker.admin.get(`/operations/${String(id)}`)).body['phase'] === 'swapping',
  );
  expect((await broker.admin.delete(`/operations/${String(id)}`)).status).toBeLessThan(410);
  await cluster.kill();
  await holder.end().catch(() => undefined);
  await cluster.start();
  const { state } = await newestEnded();
  expect(['succeeded', 'failed', 'cancelled']).toContain(state);
  await expectTidy(1);
});

it('kill -9 while an upload comes: it fails, and nothing of it is left', async () => {
  const archive = await foreignArchive(cluster, 'CREATE TABLE t AS SELECT 1 AS i');
  const call = rawUpload(broker, uploadPath('i', 'half'), { 'content-length': String(archive.length) });
  call.socket.write(archive.subarray(0, 200));
  await until('the upload', async () => (await things(broker)).spool.length === 1);
  await broker.kill();
  broker = await spawnMortal({ home: broker.home });
  expect(await newestEnded()).toMatchObject({ kind: 'upload', state: 'failed', error: { code: 'stopping' } });
  await expectTidy(1);
});
