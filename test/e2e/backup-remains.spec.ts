import {
  backupPath,
  beginBackup,
  cancel,
  ended,
  locked,
  s3Storage,
  TALKATIVE,
  type Tenant,
  tenantOf,
  things,
} from '../support/backups.js';
import { type RunningBroker, startBroker } from '../support/broker.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { type S3Server, startS3Server } from '../support/s3-server.js';
import { type Row, session } from '../support/sql.js';
import { until } from '../support/until.js';

let cluster: Cluster;
let s3: S3Server;
let bucket: string;
let broker: RunningBroker;
let tenant: Tenant;

beforeAll(async () => {
  [cluster, s3] = await Promise.all([startCluster(TALKATIVE), startS3Server()]);
  bucket = await s3.makeBucket();
  broker = await startBroker({ cluster, config: { storages: [s3Storage(s3, bucket)] } });
  tenant = await tenantOf(broker, cluster, 'one');
  await tenant.run('CREATE TABLE t AS SELECT 1 AS a');
});

afterAll(async () => {
  await broker.stop();
  await Promise.all([cluster.remove(), s3.remove()]);
});

async function asSuperuser(text: string): Promise<Row[]> {
  const client = await session(cluster.superuserUrl());
  try {
    return (await client.query(text)).rows as Row[];
  } finally {
    await client.end();
  }
}

it.each(['local', 's3'])(
  'a backup in %s stays when the role of its dump can only be dropped later',
  async (storage) => {
    const brokerRole = new URL(cluster.brokerUrl()).username;
    const name = `kept-${storage}`;
    let id = '';
    await locked(cluster, tenant, 't', async () => {
      id = await beginBackup(broker, 'one', { storage, name });
      await until('the dump waits', async () => {
        const waiting = `usename ~ '^e' AND wait_event_type = 'Lock'`;
        return (await asSuperuser(`SELECT FROM pg_stat_activity WHERE ${waiting}`)).length > 0;
      });
      await asSuperuser(`ALTER ROLE ${brokerRole} NOCREATEROLE`);
    });
    try {
      expect(await ended(broker, id)).toMatchObject({ state: 'succeeded' });
      expect((await things(broker)).roles).toHaveLength(1);
    } finally {
      await asSuperuser(`ALTER ROLE ${brokerRole} CREATEROLE`);
    }
    await until('the role is dropped', async () => {
      const left = `SELECT FROM operation WHERE memo->>'left' = 'true'`;
      return (await broker.home.estate.state(left)).length === 0;
    });
    expect((await things(broker)).roles).toEqual([]);
    const { local, objects } = await things(broker, { server: s3, name: bucket });
    const kept = [`${name}.dump`, `${name}.json`];
    expect(storage === 'local' ? local : objects).toEqual(
      expect.arrayContaining(storage === 'local' ? kept : kept.map((file) => `one/${file}`)),
    );
    const { body } = await broker.admin.get(backupPath('one', name));
    expect(body).toMatchObject({ backup_name: name, state: 'available' });
  },
);

it('a name is free again only when what a cancelled backup of it has left is gone', async () => {
  const left = () => broker.home.estate.state(`SELECT FROM operation WHERE memo->>'left' = 'true'`);
  let id = '';
  await locked(cluster, tenant, 't', async () => {
    id = await beginBackup(broker, 'one', { storage: 's3', name: 'weekly' });
    await until('the dump waits', async () => {
      const waiting = `usename ~ '^e' AND wait_event_type = 'Lock'`;
      return (await asSuperuser(`SELECT FROM pg_stat_activity WHERE ${waiting}`)).length > 0;
    });
    await s3.stop();
    await cancel(broker, id);
    expect(await ended(broker, id)).toMatchObject({ state: 'cancelled' });
  });
  expect(await left()).toHaveLength(1);
  const again = { query: { storage: 'local', name: 'weekly' } };
  expect(await broker.admin.send('POST', '/backup_instance/one', again)).toMatchObject({
    status: 409,
    body: { code: 'backup_exists' },
  });
  await s3.start();
  await until('what was left is gone', async () => (await left()).length === 0);
  expect((await broker.admin.send('POST', '/backup_instance/one', again)).status).toBe(201);
  expect((await broker.admin.get(backupPath('one', 'weekly'))).body).toMatchObject({ state: 'available' });
});
