import {
  beginBackup,
  cancel,
  expectProblem,
  fill,
  locked,
  makeBackup,
  operation,
  operationSoon,
  s3Storage,
  TALKATIVE,
  type Tenant,
  tenantOf,
  things,
  timesDumped,
} from '../support/backups.js';
import { type RunningBroker, startBroker } from '../support/broker.js';
import { type Json } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { type S3Server, startS3Server } from '../support/s3-server.js';

let cluster: Cluster;
let s3: S3Server;
let broker: RunningBroker;
let tenant: Tenant;

beforeAll(async () => {
  [cluster, s3] = await Promise.all([startCluster(TALKATIVE), startS3Server()]);
  const bucket = await s3.makeBucket();
  broker = await startBroker({
    cluster,
    config: {
      storages: [
        s3Storage(s3, bucket, { name: 'wrong-secret', secret_access_key: 'wrong-secret-value' }),
        s3Storage(s3, 'no-such-bucket', { name: 'no-bucket' }),
        s3Storage(s3, bucket, { name: 'no-rights', ...keysOf(s3.stranger) }),
      ],
    },
  });
  tenant = await tenantOf(broker, cluster, 'one');
  await tenant.run('CREATE TABLE t AS SELECT 1 AS a');
});

afterAll(async () => {
  await broker.stop();
  await Promise.all([cluster.remove(), s3.remove()]);
});

function keysOf({ accessKeyId, secretAccessKey }: S3Server['keys']): Json {
  return { access_key_id: accessKeyId, secret_access_key: secretAccessKey };
}

describe('before a dump is made', () => {
  it.each([
    ['wrong-secret', 'storage_denied', /signature/i],
    ['no-bucket', 'storage_missing', /no-such-bucket|bucket/i],
    ['no-rights', 'storage_denied', /denied/i],
  ])('the storage %s is 502 at once', async (storage, code, says) => {
    const dumps = timesDumped(cluster, 't');
    const answer = await makeBackup(broker, 'one', { storage });
    expectProblem(answer, 502, code, says);
    expect(answer.text).not.toContain('wrong-secret-value');
    expect(answer.text).not.toContain(s3.stranger.secretAccessKey);
    const failed = await operation(broker, String(answer.body['operation_id']));
    expect(failed).toMatchObject({ state: 'failed', error: { code } });
    expect(timesDumped(cluster, 't')).toBe(dumps);
    expect(await things(broker)).toMatchObject({ spool: [], roles: [] });
  });

  it('a spool without room is 507 and says how much is missing', async () => {
    const big = await tenantOf(broker, cluster, 'big');
    await fill(cluster, big, 4);
    const api = await startBroker({ home: broker.home, config: { operations: { roles: ['api'] } } });
    await broker.stop();
    const narrow = await startBroker({ home: broker.home, config: { spool: { max_bytes: '1MiB' } } });
    const answer = await makeBackup(api, 'big');
    await Promise.all([narrow.stop(), api.stop()]);
    expectProblem(answer, 507, 'spool_full', /are needed: \d+ are missing/);
    expect(timesDumped(cluster, 'filling')).toBe(0);
    broker = await startBroker({ home: broker.home });
  });

  it('rows that the owner may not see are a clear error', async () => {
    await tenant.run(
      'CREATE TABLE secret (a int); ALTER TABLE secret ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY',
    );
    expectProblem(await makeBackup(broker, 'one'), 422, 'dump_failed', /FORCE ROW LEVEL SECURITY.*secret/);
    await tenant.run('DROP TABLE secret');
    expect(await things(broker)).toMatchObject({ spool: [], roles: [] });
  });

  it('a cancel leaves nothing', async () => {
    const before = await things(broker);
    await locked(cluster, tenant, 't', async () => {
      const id = await beginBackup(broker, 'one');
      await operationSoon(broker, id, ({ phase }) => phase === 'dumping');
      expect(await cancel(broker, id)).toMatchObject({ state: 'cancelled', error: { code: 'cancelled' } });
    });
    expect(await things(broker)).toEqual(before);
    expectProblem(
      await makeBackup(broker, 'one', { storage: 'nowhere' }),
      400,
      'unknown_storage',
      /expected one of local$/,
    );
  });
});
