import { createHash } from 'node:crypto';
import {
  beginBackup,
  cancel,
  ended,
  fill,
  makeBackup,
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
import { type FaultyPath, openFaultyPath } from '../support/faulty-path.js';
import { type S3Server, startS3Server } from '../support/s3-server.js';
import { until } from '../support/until.js';

let cluster: Cluster;
let s3: S3Server;
let path: FaultyPath;
let bucket: string;
let broker: RunningBroker;
let tenant: Tenant;

const waits = ({ next_try_at: next }: Json) => next !== undefined;

beforeAll(async () => {
  [cluster, s3] = await Promise.all([startCluster(TALKATIVE), startS3Server()]);
  path = await openFaultyPath(s3.endpoint);
  bucket = await s3.makeBucket();
  broker = await startBroker({ cluster, config: settings() });
  tenant = await tenantOf(broker, cluster, 'one');
  await fill(cluster, tenant, 10);
});

afterEach(async () => {
  path.interfere = () => undefined;
  await s3.stop();
  await s3.start();
});

afterAll(async () => {
  await broker.stop();
  await path.close();
  await Promise.all([cluster.remove(), s3.remove()]);
});

function settings(operations: Json = {}): Json {
  return { storages: [s3Storage(s3, bucket, { endpoint: path.endpoint })], operations: { grace: '1s', ...operations } };
}

/** The S3 server ends while the second part is on its way. */
function endInTheMiddle(): void {
  path.interfere = ({ method, url }) => {
    if (method === 'PUT' && /partNumber=2/.test(url)) void s3.stop();
    return undefined;
  };
}

async function expectWhole(backup: Json): Promise<void> {
  const Key = `one/${String(backup['backup_name'])}.dump`;
  const { Body } = await s3.client.getObject({ Bucket: bucket, Key });
  const bytes = Buffer.from((await Body?.transformToByteArray()) ?? []);
  expect(bytes.length).toBe(backup['size_bytes']);
  expect(createHash('sha256').update(bytes).digest('hex')).toBe(backup['sha256']);
}

function all() {
  return things(broker, { server: s3, name: bucket });
}

it('uploads in parts while the dump is made', async () => {
  const answer = await makeBackup(broker, 'one', { storage: 's3' });
  expect(answer.status).toBe(201);
  expect(answer.body['size_bytes']).toBeGreaterThan(9 * 1024 * 1024);
  await expectWhole(answer.body);
});

it('repeats an upload that broke in the middle from the spool: one dump, and the parts that are there stay', async () => {
  const dumps = timesDumped(cluster, 'filling');
  endInTheMiddle();
  const id = await beginBackup(broker, 'one', { storage: 's3' });
  const waiting = await operationSoon(broker, id, waits);
  expect(waiting).toMatchObject({
    state: 'running',
    phase: 'uploading',
    error: { code: 'storage_unreachable', detail: expect.stringMatching(/storage s3/) as string },
  });
  expect(Date.parse(String(waiting['next_try_at']))).toBeGreaterThan(Date.parse(String(waiting['created_at'])));
  expect((await things(broker)).spool).toHaveLength(1);
  path.seen.length = 0;
  path.interfere = () => undefined;
  await s3.start();
  const done = await ended(broker, id);
  expect(done).toMatchObject({ state: 'succeeded', attempt: 1 });
  expect(done).not.toHaveProperty('error');
  expect(done).not.toHaveProperty('next_try_at');
  await expectWhole(done['result'] as Json);
  expect(timesDumped(cluster, 'filling')).toBe(dumps + 1);
  expect(path.seen.filter(({ method, url }) => method === 'PUT' && /partNumber=1&/.test(url))).toEqual([]);
  expect(await all()).toMatchObject({ spool: [], roles: [], uploads: [] });
});

it('goes on after a restart of the broker: no second dump', async () => {
  const dumps = timesDumped(cluster, 'filling');
  endInTheMiddle();
  const id = await beginBackup(broker, 'one', { storage: 's3' });
  await operationSoon(broker, id, waits);
  await broker.stop();
  path.interfere = () => undefined;
  await s3.start();
  broker = await startBroker({ home: broker.home, config: settings() });
  const done = await ended(broker, id);
  expect(done).toMatchObject({ state: 'succeeded', attempt: 2 });
  await expectWhole(done['result'] as Json);
  expect(timesDumped(cluster, 'filling')).toBe(dumps + 1);
  expect(await all()).toMatchObject({ spool: [], roles: [], uploads: [] });
});

it('a cancel while it waits leaves nothing', async () => {
  const before = await all();
  endInTheMiddle();
  const id = await beginBackup(broker, 'one', { storage: 's3' });
  await operationSoon(broker, id, waits);
  path.interfere = () => undefined;
  await s3.start();
  expect(await cancel(broker, id)).toMatchObject({ state: 'cancelled' });
  expect(await all()).toEqual(before);
});

it('a cancel in the middle of an upload leaves nothing', async () => {
  const before = await all();
  path.interfere = ({ method, url }) => (method === 'PUT' && /partNumber=2/.test(url) ? { silence: true } : undefined);
  const id = await beginBackup(broker, 'one', { storage: 's3' });
  await operationSoon(broker, id, ({ phase }) => phase === 'uploading');
  expect(await cancel(broker, id)).toMatchObject({ state: 'cancelled' });
  expect(await all()).toEqual(before);
});

it('a cancel while the manifest is on its way leaves nothing', async () => {
  const before = await all();
  let arrived: () => void = () => undefined;
  const written = new Promise<void>((resolve) => (arrived = resolve));
  const answerAfter = new Promise((resolve) => setTimeout(resolve, 1_000));
  path.interfere = ({ method, url }) => {
    if (method !== 'PUT' || !/\.json/.test(url)) return undefined;
    arrived();
    return { answerAfter };
  };
  const id = await beginBackup(broker, 'one', { storage: 's3' });
  await written;
  expect(await cancel(broker, id)).toMatchObject({ state: 'cancelled' });
  expect(await all()).toEqual(before);
});

it('what a cancel cannot remove is removed when the storage is back', async () => {
  const before = await all();
  endInTheMiddle();
  const id = await beginBackup(broker, 'one', { storage: 's3' });
  await operationSoon(broker, id, waits);
  expect(await cancel(broker, id)).toMatchObject({ state: 'cancelled' });
  expect((await things(broker)).spool).toEqual([]);
  path.interfere = () => undefined;
  await s3.start();
  await broker.stop();
  broker = await startBroker({ home: broker.home, config: settings() });
  await until('the removal', async () => (await all()).uploads?.length === 0);
  expect(await all()).toEqual(before);
});

it('fails once the time for repeating is over, and leaves nothing', async () => {
  await broker.stop();
  broker = await startBroker({ home: broker.home, config: settings({ upload_retry: '2s' }) });
  const before = await all();
  endInTheMiddle();
  const id = await beginBackup(broker, 'one', { storage: 's3' });
  const done = await ended(broker, id);
  expect(done).toMatchObject({
    state: 'failed',
    error: { code: 'storage_unreachable', detail: expect.stringMatching(/given up after \d+ tries/) as string },
  });
  path.interfere = () => undefined;
  await s3.start();
  await broker.stop();
  broker = await startBroker({ home: broker.home, config: settings() });
  await until('the removal', async () => (await all()).uploads?.length === 0);
  expect(await all()).toEqual(before);
});
