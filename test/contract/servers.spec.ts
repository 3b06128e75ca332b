import { expectDone, expectRefused } from '../support/answers.js';
import { type SpawnedBroker, spawnBroker } from '../support/broker.js';
import { type Json } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { credentialsOf, type Platform } from '../support/platform.js';
import { until } from '../support/until.js';

let clusters: [Cluster, Cluster];
let broker: SpawnedBroker;
let platform: Platform;

beforeAll(async () => {
  clusters = await Promise.all([startCluster(), startCluster()]);
  broker = await spawnBroker({ clusters, config: { servers: [{ weight: 1 }, { weight: 3 }] } });
  platform = broker.platform;
});

afterAll(async () => {
  await broker?.stop();
  await Promise.all((clusters ?? []).map((cluster) => cluster.remove()));
});

async function restarted(servers: Json[]): Promise<void> {
  await broker.stop();
  broker = await spawnBroker({ home: broker.home, config: { servers } });
  platform = broker.platform;
}

async function placed(): Promise<Record<string, number>> {
  const rows = await broker.home.estate.state('SELECT server, count(*)::int AS n FROM service_instance GROUP BY 1');
  return Object.fromEntries(rows.map(({ server, n }) => [String(server), Number(n)]));
}

async function serverOf(id: string): Promise<string> {
  const [row] = await broker.home.estate.state('SELECT server FROM service_instance WHERE id = $1', [id]);
  return String(row?.['server']);
}

it('places instances by the weight of the servers', async () => {
  for (let n = 0; n < 8; n += 1) expectDone(await platform.provision(`i-${n}`), 201);
  expect(await placed()).toEqual({ default: 2, 'server-2': 6 });
  await broker.home.estate.expectExactly(Array.from({ length: 8 }, (_, n) => `i-${n}`));
});

it('places none on a server that accepts no new ones, but serves those it has', async () => {
  const held = await idOn('server-2');
  await restarted([{ weight: 1 }, { weight: 3, accepts_new: false }]);
  expectDone(await platform.provision('elsewhere'), 201);
  expect(await serverOf('elsewhere')).toBe('default');
  const bound = await platform.bind(held, 'b');
  expectDone(bound, 201);
  expect(credentialsOf(bound).port).toBe(clusters[1].port);
  expectDone(await platform.unbind(held, 'b'), 200);
});

it('says so when no server takes new ones, and keeps nothing of the instance', async () => {
  await restarted([{ accepts_new: false }, { accepts_new: false }]);
  const answer = await platform.provision('nowhere');
  expect([503, 507]).toContain(answer.status);
  expectRefused(answer, answer.status);
  expect((await platform.deprovision('nowhere')).status).toBe(410);
});

it('an instance stays on its server', async () => {
  await restarted([{ weight: 100 }, { weight: 1 }]);
  const held = await idOn('server-2');
  expect(credentialsOf(await platform.bind(held, 'stays')).port).toBe(clusters[1].port);
  expectDone(await platform.unbind(held, 'stays'), 200);
});

describe('a server that is down', () => {
  beforeAll(() => clusters[1].stop('immediate'));
  afterAll(() => clusters[1].start());

  it('fails its own instances with a clear 503 and leaves the others alone', async () => {
    const [down, up] = [await idOn('server-2'), await idOn('default')];
    for (const answer of [
      await platform.bind(down, 'b'),
      await platform.update(down, { parameters: { extensions: ['citext'] } }),
    ])
      expectRefused(answer, 503, { says: /server-2|server/ });
    expectDone(await platform.bind(up, 'b'), 201);
    expectDone(await platform.unbind(up, 'b'), 200);
  });

  it('gets no new instances', async () => {
    for (const id of ['while-down-1', 'while-down-2']) {
      expectDone(await platform.provision(id), 201);
      expect(await serverOf(id)).toBe('default');
    }
  });

  it('is named by /readyz, which stays 200', async () => {
    // What was seen within the last seconds may be told once more.
    const servers = await until('the server to be missed', async () => {
      const answer = await broker.admin.as(undefined).get('/readyz');
      expect(answer.status).toBe(200);
      const [up, down] = answer.body['servers'] as [Json, Json];
      return down['reachable'] === false && [up, down];
    });
    expect(servers).toMatchObject([{ name: 'default', reachable: true }, { name: 'server-2' }]);
  });
});

it('works again by itself when the server is back', async () => {
  const held = await idOn('server-2');
  await until('the server to be used again', async () => (await platform.bind(held, 'back')).status === 201);
  expectDone(await platform.unbind(held, 'back'), 200);
  expectDone(await platform.update(held, { parameters: { extensions: ['citext'] } }), 200);
  expect([200, 410]).toContain((await platform.unbind(held, 'b')).status);
  const { instances } = await broker.home.estate.look();
  await broker.home.estate.expectExactlySoon(instances.map(({ id }) => String(id)));
});

it('an instance of a server that left the configuration fails clearly, GET still answers', async () => {
  const held = await idOn('server-2');
  expectDone(await platform.bind(held, 'kept'), 201);
  const before = await broker.home.estate.snapshot();
  await broker.stop();
  const [first] = broker.home.config['servers'] as Json[];
  const home = { ...broker.home, config: { ...broker.home.config, servers: [first] } };
  broker = await spawnBroker({ home });
  expectRefused(await broker.platform.bind(held, 'b'), 503, { says: /server-2/ });
  expect((await broker.platform.instance(held)).status).toBe(200);
  expect(await broker.home.estate.snapshot()).toBe(before);
  expect(
    broker.log.filter((line) => /servers: server-2 is missing; instances that are not served/.test(line)),
  ).toHaveLength(1);
});

async function idOn(server: string): Promise<string> {
  const [row] = await broker.home.estate.state('SELECT id FROM service_instance WHERE server = $1 ORDER BY id', [
    server,
  ]);
  return String(row?.['id']);
}
