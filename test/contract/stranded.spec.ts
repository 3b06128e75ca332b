import { expectDone, expectRefused } from '../support/answers.js';
import { type RunningBroker, startBroker } from '../support/broker.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { credentialsOf } from '../support/platform.js';
import { sql } from '../support/sql.js';
import { until } from '../support/until.js';

let server: Cluster;
let stateCluster: Cluster;
let broker: RunningBroker;

beforeAll(async () => {
  [server, stateCluster] = await Promise.all([startCluster(), startCluster()]);
  broker = await startBroker({ cluster: server, stateCluster });
});

afterAll(async () => {
  await broker?.stop();
  await Promise.all([server, stateCluster].map((cluster) => cluster?.remove()));
});

const stateOf = async (id: string) =>
  (await broker.home.estate.state('SELECT state, diverged FROM service_instance WHERE id = $1', [id]))[0];

it('instances at work that nothing is at are settled: the new ones removed, the changed ones as before', async () => {
  const { platform, home } = broker;
  for (const id of ['coming', 'going', 'changing', 'other']) expectDone(await platform.provision(id), 201);
  const { uri } = credentialsOf(await platform.bind('changing', 'b'));
  const [before] = await home.estate.state(`SELECT * FROM service_instance WHERE id = 'changing'`);
  expectDone(await platform.update('changing', { parameters: { extensions: ['citext'] } }), 200);
  await broker.stop();
  await home.estate.state(`UPDATE service_instance SET state = 'provisioning' WHERE id = 'coming'`);
  await home.estate.state(`UPDATE service_instance SET state = 'deprovisioning' WHERE id = 'going'`);
  const undone = `UPDATE service_instance SET state = 'updating', parameters = $1, fingerprint = $2 WHERE id = 'changing'`;
  await home.estate.state(undone, [before?.['parameters'], before?.['fingerprint']]);

  broker = await startBroker({ home });
  await until('the new ones to be removed', async () => !(await stateOf('coming')) && !(await stateOf('going')));
  await home.estate.expectExactlySoon(['changing', 'other'], ['changing/b']);
  expect((await broker.platform.instance('changing')).body).toMatchObject({ parameters: {} });
  expect(await sql(uri, `SELECT FROM pg_extension WHERE extname = 'citext'`)).toEqual([]);
  for (const id of ['changing', 'other']) expectDone(await broker.platform.deprovision(id), 200);
});

it('an instance that failed never becomes ready because its removal fails too', async () => {
  const { platform, home } = broker;
  expectDone(await platform.provision('failed'), 201);
  await home.estate.state(`UPDATE service_instance SET state = 'failed' WHERE id = 'failed'`);
  await server.stop('immediate');
  expectRefused(await platform.deprovision('failed'), 503);
  expect(await stateOf('failed')).toEqual({ state: 'failed', diverged: false });
  await server.start();
  await until('the broker to remove it', async () => !(await stateOf('failed')));
  await home.estate.expectExactlySoon([]);
});

it('an instance that failed never becomes ready, though its removal ended without a word and the next one fails', async () => {
  const { platform, home } = broker;
  expectDone(await platform.provision('left'), 201);
  const [row] = await home.estate.state(`SELECT database FROM service_instance WHERE id = 'left'`);
  const template = (is: boolean) =>
    sql(server.superuserUrl(), `ALTER DATABASE "${String(row?.['database'])}" IS_TEMPLATE ${is}`);
  await template(true);
  await home.estate.state(`UPDATE service_instance SET state = 'failed' WHERE id = 'left'`);
  expect((await platform.deprovision('left')).status).toBe(500);
  await broker.stop();
  await home.estate.state(`UPDATE service_instance SET state = 'deprovisioning' WHERE id = 'left'`);

  broker = await startBroker({ home });
  const removals = `SELECT state FROM operation WHERE instance_id = 'left' AND kind = 'deprovision'`;
  await until('the next removal to fail', async () => {
    const states = (await home.estate.state(removals)).map(({ state }) => state);
    return states.length === 2 && states.every((state) => state === 'failed');
  });
  expect(await stateOf('left')).toEqual({ state: 'failed', diverged: false });
  await template(false);
  expectDone(await broker.platform.deprovision('left'), 200);
});
