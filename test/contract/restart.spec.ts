import { randomBytes } from 'node:crypto';
import { expectDone, expectRefused } from '../support/answers.js';
import { type SpawnedBroker, spawnBroker } from '../support/broker.js';
import { type Json } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { type Credentials, credentialsOf, ids, MEDIUM, SERVICE, SMALL } from '../support/platform.js';
import { sql } from '../support/sql.js';
import { until } from '../support/until.js';

let cluster: Cluster;
let broker: SpawnedBroker;
let old: Credentials;
let fresh: Credentials;
let sealedOld: unknown;

const secondKey = { id: 'second', secret: randomBytes(32).toString('base64') };
const firstKey = () => ({ id: 'first', secret: broker.home.encryptionKey });
const newPassword = { username: 'platform-2', password: randomBytes(12).toString('hex') };

const small = (version: string, limits: Json = {}) => ({
  ...{ id: SMALL, name: 'small', description: 'small', limits, maintenance_info: { version } },
});
const other = { id: MEDIUM, name: 'other', description: 'another plan' };

function catalogOf(...plans: Json[]): Json {
  const service = { id: SERVICE, name: 'postgresql', description: 'databases', bindable: true, plan_updateable: true };
  return { catalog: { services: [{ ...service, plans }] } };
}

async function restarted(config: Json): Promise<void> {
  expect(await broker.stop()).toBe(0);
  broker = await spawnBroker({ home: broker.home, config });
}

beforeAll(async () => {
  cluster = await startCluster();
  broker = await spawnBroker({ cluster, config: catalogOf(small('1.0.0'), other) });
  for (const id of ['moves', 'stays', 'kept']) expectDone(await broker.platform.provision(id), 201);
  old = credentialsOf(await broker.platform.bind('stays', 'old'));
  sealedOld = await sealed('old');
});

async function sealed(id: string): Promise<unknown> {
  const rows = await broker.home.estate.state(`SELECT sealed_password FROM service_binding WHERE id = '${id}'`);
  return rows[0]?.['sealed_password'];
}

afterAll(async () => {
  await broker?.stop();
  await cluster?.remove();
});

describe('started with a catalog without the plan, a new first key and a second password', () => {
  beforeAll(() =>
    restarted({
      ...catalogOf(other),
      state: { encryption_keys: [secondKey, firstKey()] },
      platform: { credentials: [broker.home.platform, newPassword] },
    }),
  );

  it('instances of a plan that left the catalog are shown, bound, unbound, renamed, moved and deleted', async () => {
    const { platform } = broker;
    expectDone(await platform.instance('moves'), 200);
    expectDone(await platform.bind('moves', 'b'), 201);
    expectDone(
      await platform.update('moves', { context: { platform: 'cloudfoundry', instance_name: 'renamed' } }),
      200,
    );
    expectDone(await platform.unbind('moves', 'b'), 200);
    expectDone(await platform.update('moves', { plan_id: MEDIUM, previous_values: ids }), 200);
    expectDone(await platform.deprovision('moves', { plan_id: MEDIUM }), 200);
    expectDone(await platform.bind('kept', 'b'), 201);
    expectDone(await platform.unbind('kept', 'b'), 200);
    expectRefused(await platform.provision('new'), 400, { says: /plan_id/ });
  });

  it('credentials sealed with the old key are read and sealed anew with the new key, as new ones are', async () => {
    expect(sealedOld).toMatch(/^first\./);
    expect(credentialsOf(await broker.platform.binding('stays', 'old'))).toEqual(old);
    fresh = credentialsOf(await broker.platform.bind('stays', 'new'));
    expect(await sealed('new')).toMatch(/^second\./);
    await until('the old one to be sealed anew', async () => /^second\./.test(String(await sealed('old'))));
    expect(credentialsOf(await broker.platform.binding('stays', 'old'))).toEqual(old);
  });

  it('both passwords of the platform are taken', async () => {
    for (const credential of [broker.home.platform, newPassword])
      expectDone(await broker.platform.as(credential).catalog(), 200);
  });
});

describe('started with a new version of the plan, without the old key and the old password', () => {
  // As the state database was before the broker had sealed it anew.
  beforeAll(() =>
    broker.home.estate.state(
      `UPDATE service_binding SET sealed_password = '${String(sealedOld)}' WHERE id = 'old' RETURNING id`,
    ),
  );
  beforeAll(() =>
    restarted({
      ...catalogOf(small('2.0.0', { connections: 7 }), other),
      state: { encryption_keys: [secondKey] },
      platform: { credentials: [newPassword] },
    }),
  );

  const limit = async () => {
    const [row] = await broker.home.estate.state(`SELECT limits, context FROM service_instance WHERE id = 'kept'`);
    return { connections: (row?.['limits'] as Json)['connections'], context: row?.['context'] };
  };

  it('a new name does not bring the new limits along', async () => {
    const context = { platform: 'cloudfoundry', instance_name: 'kept by a new name' };
    expectDone(await broker.platform.as(newPassword).update('kept', { plan_id: SMALL, context }), 200);
    expect(await limit()).toMatchObject({ connections: undefined, context });
  });

  it('the new version of maintenance_info is offered and taken by an update, and only that one', async () => {
    const platform = broker.platform.as(newPassword);
    const update = (version: string) =>
      platform.update('kept', { maintenance_info: { version }, previous_values: { ...ids, maintenance_info: null } });
    expectRefused(await update('1.0.0'), 422, { error: 'MaintenanceInfoConflict' });
    expectDone(await update('2.0.0'), 200);
    expect((await platform.instance('kept')).body).toMatchObject({ maintenance_info: { version: '2.0.0' } });
    expect(await limit()).toMatchObject({ connections: 7 });
  });

  it('what the new key sealed is read, what the old one sealed is a 500 that names the key', async () => {
    const platform = broker.platform.as(newPassword);
    expect(credentialsOf(await platform.binding('stays', 'new'))).toEqual(fresh);
    const says = /^no encryption key of the id first is configured/;
    expectRefused(await platform.binding('stays', 'old'), 500, { says });
    expectRefused(await platform.bind('stays', 'old'), 500, { says });
    expect(await sql(old.uri, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  it('the missing key is an error in the log from the start', () => {
    const missing = 'state.encryption_keys: the key first is missing; bindings that cannot be read without it: 1';
    const lines = broker.log.filter((line) => line.includes('is missing'));
    expect(lines).toEqual([expect.stringContaining(missing)]);
    expect(lines[0]).toContain('"level":"error"');
  });

  it('the old password is 401', async () => {
    expectRefused(await broker.platform.as(broker.home.platform).catalog(), 401);
  });

  it('all is unbound and deleted, whatever key sealed it', async () => {
    const platform = broker.platform.as(newPassword);
    for (const id of ['old', 'new']) expectDone(await platform.unbind('stays', id), 200);
    for (const id of ['stays', 'kept']) expectDone(await platform.deprovision(id), 200);
    await broker.home.estate.expectExactly([]);
  });
});
