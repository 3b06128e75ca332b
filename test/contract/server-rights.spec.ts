import { expectDone, expectRefused } from '../support/answers.js';
import { type SpawnedBroker, spawnBroker } from '../support/broker.js';
import { secret } from '../support/broker-home.js';
import { type Json } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { sql } from '../support/sql.js';
import { until } from '../support/until.js';

let clusters: [Cluster, Cluster];
let servers: [Json, Json];
let broker: SpawnedBroker;

afterAll(async () => {
  await broker?.stop();
  await Promise.all((clusters ?? []).map((cluster) => cluster.remove()));
});

/** The first server's role may not make databases, the second one's may do everything. */
beforeAll(async () => {
  clusters = await Promise.all([startCluster(), startCluster()]);
  const password = secret();
  await sql(clusters[0].superuserUrl(), `CREATE ROLE weak LOGIN CREATEROLE PASSWORD '${password}'`);
  await sql(clusters[0].superuserUrl(), 'GRANT CONNECT ON DATABASE postgres TO weak');
  const url = new URL(clusters[0].brokerUrl());
  [url.username, url.password] = ['weak', password];
  servers = [{ url: url.href, weight: 9 }, { url: clusters[1].superuserUrl() }];
  broker = await spawnBroker({ clusters, config: { servers } });
});

async function server(name: string): Promise<Json> {
  const { body } = await broker.admin.as(undefined).get('/readyz');
  return (body['servers'] as Json[]).find((each) => each['name'] === name) as Json;
}

const logged = (text: string) => broker.log.some((line) => line.includes(text));

describe('a server where the role may not make databases', () => {
  const lacks = "the broker's role weak lacks CREATEDB";

  it('is named by /readyz and in the log from the start', async () => {
    await until('the line', () => logged(`server default takes no new instances: ${lacks}`));
    expect(await server('default')).toMatchObject({
      reachable: true,
      accepts_new: false,
      error: `server default: ${lacks}`,
    });
  });

  it('gets no new instances', async () => {
    expectDone(await broker.platform.provision('elsewhere'), 201);
    const [row] = await broker.home.estate.state('SELECT server FROM service_instance');
    expect(row).toEqual({ server: 'server-2' });
  });

  it('is the reason of a 503 where there is no other, until it has the right', async () => {
    await broker.stop();
    const config = { servers: [servers[0], { ...servers[1], accepts_new: false }] };
    broker = await spawnBroker({ home: broker.home, config });
    expectRefused(await broker.platform.provision('nowhere'), 503, { says: /^server default: .* lacks CREATEDB$/ });
    expect((await broker.platform.deprovision('nowhere')).status).toBe(410);
    await sql(clusters[0].superuserUrl(), 'ALTER ROLE weak CREATEDB');
    await sql(clusters[0].superuserUrl(), 'GRANT pg_signal_backend TO weak');
    await until('the right to count', async () => (await broker.platform.provision('now')).status === 201);
  });
});

it('warns of a role that is a superuser', async () => {
  const warned = "the broker's role postgres is a superuser";
  await until('the line', () => logged(`server server-2: ${warned}`));
  expect((await server('server-2'))['warnings']).toEqual(
    expect.arrayContaining([expect.stringContaining(warned) as string]),
  );
});
