import { backupPath, locked, makeBackup, tenantOf } from '../support/backups.js';
import { type RunningBroker, startBroker } from '../support/broker.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { type Described, described } from '../support/described.js';

let cluster: Cluster;
let broker: RunningBroker;
let api: Described;

beforeAll(async () => {
  cluster = await startCluster();
  broker = await startBroker({
    cluster,
    config: { storages: [{ name: 'gone', type: 's3', bucket: 'none', endpoint: 'http://127.0.0.1:9', ...keys }] },
  });
  api = await described(broker);
});

const keys = { access_key_id: 'a', secret_access_key: 'b' };

afterAll(async () => {
  await broker.stop();
  await cluster.remove();
});

it('says what the answers about backups are', async () => {
  const { admin } = broker;
  const tenant = await tenantOf(broker, cluster, 'one');
  await tenant.run('CREATE TABLE t ()');
  const MAKE = '/backup_instance/{instance_id}';
  const LIST = '/backups/{instance_id}';
  const ONE = '/backups/{instance_id}/{backup_name}';
  const DOWNLOAD = '/download_backup/{instance_id}/{backup_name}';
  const RESCAN = '/storages/{name}/rescan';

  api.expect('POST', MAKE, await makeBackup(broker, 'one', { name: 'a' }));
  api.expect('POST', MAKE, await makeBackup(broker, 'one', { name: 'a' }));
  api.expect('POST', MAKE, await makeBackup(broker, 'one', { name: '?' }));
  api.expect('POST', MAKE, await makeBackup(broker, 'none'));
  api.expect('POST', MAKE, await makeBackup(broker, 'one', { storage: 'gone' }));
  api.expect('POST', MAKE, await admin.as(undefined).send('POST', '/backup_instance/one'));
  const accepted = await locked(cluster, tenant, 't', async () => {
    const answer = await makeBackup(broker, 'one', { name: 'b' }, 'respond-async');
    api.expect('POST', MAKE, await makeBackup(broker, 'one'));
    return answer;
  });
  api.expect('POST', MAKE, accepted);
  const operation = String(accepted.body['id']);
  await broker.home.estate.expectExactlySoon(['one']);
  api.expect('GET', '/operations/{id}', await admin.get(`/operations/${operation}`));
  api.expect('GET', '/operations', await admin.get('/operations'));
  api.expect('DELETE', '/operations/{id}', await admin.delete(`/operations/${operation}`));

  for (const query of [{}, { storage: 'local' }, { storage: 'x' }, { storage: 'gone' }])
    api.expect('GET', LIST, await admin.get(backupPath('one'), { query }));
  api.expect('GET', LIST, await admin.get(backupPath('none')));
  for (const name of ['a', 'latest', 'c']) api.expect('GET', ONE, await admin.get(backupPath('one', name)));

  for (const method of ['GET', 'HEAD'])
    for (const headers of [{}, { range: 'bytes=1-2' }, { range: 'bytes=99999999-' }, { 'if-none-match': '*' }])
      api.expect(method, DOWNLOAD, await admin.send(method, '/download_backup/one/a', { headers }));
  api.expect('GET', DOWNLOAD, await admin.get('/download_backup/one/c'));

  api.expect('DELETE', ONE, await admin.delete(backupPath('one', 'a'), { headers: { 'if-match': '"x"' } }));
  api.expect('DELETE', ONE, await admin.delete(backupPath('one', 'a')));
  api.expect('DELETE', ONE, await admin.delete(backupPath('one', 'a')));
  api.expect('DELETE', ONE, await admin.delete(backupPath('one', 'latest')));
  const prefer = { headers: { prefer: 'respond-async' } };
  api.expect('DELETE', ONE, await admin.delete(backupPath('one', 'b'), prefer));

  for (const storage of ['local', 'x', 'gone'])
    api.expect('POST', RESCAN, await admin.send('POST', `/storages/${storage}/rescan`));
});
