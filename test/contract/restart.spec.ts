import { randomBytes } from 'node:crypto';
import { expectDone, expectRefused } from '../support/answers.js';
import { type RunningBroker, spawnBroker } from '../support/broker.js';
import { type BrokerHome } from '../support/broker-home.js';
import { type Json } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { credentialsOf, ids, MEDIUM, SERVICE, SMALL } from '../support/platform.js';
import { sql } from '../support/sql.js';

let cluster: Cluster;
let broker: RunningBroker;

beforeAll(async () => {
  cluster = await startCluster();
  broker = await spawnBroker({ cluster });
});

afterAll(async () => {
  await broker?.stop();
  await cluster?.remove();
});

async function restarted(config: Json = {}): Promise<void> {
  expect(await broker.stop()).toBe(0);
  broker = await spawnBroker({ home: broker.home, config });
}

const catalogOf = (...plans: Json[]): Json => ({
  catalog: {
    services: [
      { id: SERVICE, name: 'postgresql', description: 'databases', bindable: true, plan_updateable: true, plans },
    ],
  },
});
const other = { id: MEDIUM, name: 'other', description: 'another plan' };

describe('a plan that left the catalog', () => {
  it('still shows, binds, unbinds, renames and deletes its instances, but makes no new ones', async () => {
    expectDone(await broker.platform.provision('old'), 201);
    const old = credentialsOf(await broker.platform.bind('old', 'before'));
    await restarted(catalogOf(other));
    const { platform } = broker;
    expectDone(await platform.instance('old'), 200);
    expectDone(await platform.provision('old'), 200);
    expectDone(await platform.bind('old', 'after'), 201);
    expectDone(await platform.update('old', { context: { platform: 'cloudfoundry', instance_name: 'renamed' } }), 200);
    expectRefused(await platform.provision('new'), 400, { says: /plan_id/ });
    expectDone(await platform.unbind('old', 'before'), 200);
    await expect(sql(old.uri, 'SELECT 1')).rejects.toThrow();
    expectDone(await platform.unbind('old', 'after'), 200);
    expectDone(await platform.update('old', { plan_id: MEDIUM, previous_values: ids }), 200);
    expectDone(await platform.deprovision('old', { plan_id: MEDIUM }), 200);
    await restarted();
    expectDone(await broker.platform.provision('old-2'), 201);
    await restarted(catalogOf(other));
    expectDone(await broker.platform.deprovision('old-2'), 200);
    await broker.home.estate.expectExactly([]);
  });
});

describe('a new version of maintenance_info', () => {
  it('is offered by the catalog, taken by an update, and only that version', async () => {
    const plan = (version: string) => ({
      id: SMALL,
      name: 'small',
      description: 'small',
      maintenance_info: { version },
    });
    await restarted(catalogOf(plan('1.0.0')));
    expectDone(await broker.platform.provision('kept'), 201);
    await restarted(catalogOf(plan('2.0.0')));
    const update = (version: string) =>
      broker.platform.update('kept', {
        maintenance_info: { version },
        previous_values: { ...ids, maintenance_info: null },
      });
    expectRefused(await update('1.0.0'), 422, { error: 'MaintenanceInfoConflict' });
    expectDone(await update('2.0.0'), 200);
    expect((await broker.platform.instance('kept')).body).toMatchObject({ maintenance_info: { version: '2.0.0' } });
    expectDone(await broker.platform.deprovision('kept'), 200);
  });
});

describe('rotation of the encryption key', () => {
  it('a new first key encrypts, old credentials are still read, later without the old key they are not lost silently', async () => {
    await restarted();
    expectDone(await broker.platform.provision('sealed'), 201);
    const old = credentialsOf(await broker.platform.bind('sealed', 'old'));
    const second = { id: 'second', secret: randomBytes(32).toString('base64') };
    const first = { id: 'first', secret: broker.home.encryptionKey };
    await restarted({ state: { encryption_keys: [second, first] } });
    expect(credentialsOf(await broker.platform.binding('sealed', 'old'))).toEqual(old);
    const fresh = credentialsOf(await broker.platform.bind('sealed', 'new'));
    await restarted({ state: { encryption_keys: [second] } });
    expect(credentialsOf(await broker.platform.binding('sealed', 'new'))).toEqual(fresh);
    const lost = await broker.platform.binding('sealed', 'old');
    expect([200, 500]).toContain(lost.status);
    if (lost.status === 200) expect(credentialsOf(lost)).toEqual(old);
    else expectRefused(lost, 500);
    await restarted({ state: { encryption_keys: [second, first] } });
    for (const id of ['old', 'new']) expectDone(await broker.platform.unbind('sealed', id), 200);
    expectDone(await broker.platform.deprovision('sealed'), 200);
    await broker.home.estate.expectExactly([]);
  });
});

describe('rotation of the passwords', () => {
  it('both of a realm are taken while both are configured', async () => {
    const fresh = { username: 'platform-2', password: randomBytes(12).toString('hex') };
    const home: BrokerHome = broker.home;
    await restarted({ platform: { credentials: [home.platform, fresh] } });
    for (const credential of [home.platform, fresh]) expectDone(await broker.platform.as(credential).catalog(), 200);
    await restarted({ platform: { credentials: [fresh] } });
    expectRefused(await broker.platform.as(home.platform).catalog(), 401);
    expectDone(await broker.platform.as(fresh).catalog(), 200);
  });
});
