import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { temporaryFolder } from '../support/starter.js';
import { backupPath, makeBackup, tenantOf } from '../support/backups.js';
import { type SpawnedBroker, spawnBroker } from '../support/broker.js';
import { type Json } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';

let cluster: Cluster;

beforeAll(async () => {
  cluster = await startCluster();
});

afterAll(() => cluster.remove());

/** Two brokers on one state database, and a backup `first` of `shop` that the one has made. */
async function twoBrokers(config: Json): Promise<Record<'one' | 'other', SpawnedBroker>> {
  const one = await spawnBroker({ cluster, config });
  const dataDir = await mkdtemp(join(tmpdir(), 'broker-'));
  const home = { ...one.home, dataDir, config: { ...one.home.config, data_dir: dataDir } };
  const tenant = await tenantOf(one, cluster, 'shop');
  await tenant.run('CREATE TABLE item (id int); INSERT INTO item VALUES (1), (2)');
  expect((await makeBackup(one, 'shop', { name: 'first' })).status).toBe(201);
  const other = await spawnBroker({ home, config });
  return { one, other };
}

describe('the folder of a local storage', () => {
  it('where brokers share it, is as good for another one when that which made the backups is gone', async () => {
    const path = await temporaryFolder();
    const { one, other } = await twoBrokers({ storages: [{ name: 'local', type: 'local', path, shared: true }] });
    await one.kill();
    const restored = await other.admin.send('POST', '/restore_instance/shop/first');
    expect({ status: restored.status, rows: restored.body['rows'] }).toEqual({ status: 200, rows: 2 });
    expect((await other.admin.get(`/download_backup/shop/first`)).status).toBe(200);
    const rescan = await other.admin.send('POST', '/storages/local/rescan');
    expect(rescan.body).toMatchObject({ added: [], missing: [], damaged: [] });
    expect((await other.admin.delete(backupPath('shop', 'first'))).status).toBe(200);
  });

  it('of one broker is worked in by that one, whoever was asked, before the call is answered 202', async () => {
    const { one, other } = await twoBrokers({ http: { sync_wait: '15s' } });
    for (const broker of [other, one, other, other])
      expect((await broker.admin.send('POST', '/restore_instance/shop/first')).status).toBe(200);
  });
});
