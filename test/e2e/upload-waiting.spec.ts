import { mkdtemp, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beginBackup, s3Storage, TALKATIVE, timesDumped } from '../support/backups.js';
import { type SpawnedBroker, spawnBroker } from '../support/broker.js';
import { type S3Server, startS3Server } from '../support/s3-server.js';
import { allAtTheirMoments, type Lane } from '../support/striking.js';
import { until } from '../support/until.js';
import {
  again,
  expectWhole,
  type Inhabitant,
  leaveWorld,
  makeWorld,
  operationsOf,
  settle,
  type World,
} from '../support/world.js';

const OUTAGE_MS = 60_000;

let world: World;
/** The storage that goes away. */
let s3: S3Server;
let bucket: string;
let away = 0;
let other: SpawnedBroker;
const all: Inhabitant[] = [];
let patient: Inhabitant;
let forsaken: Inhabitant;
let removed: Inhabitant;

beforeAll(async () => {
  s3 = await startS3Server();
  bucket = await s3.makeBucket();
  world = await makeWorld({ config: { storages: [s3Storage(s3, bucket, { name: 'away' })] }, settings: TALKATIVE });
  // Two parts of a multipart upload.
  patient = await settle(world, 'patient', 9);
  forsaken = await settle(world, 'forsaken');
  removed = await settle(world, 'removed');
  all.push(patient, forsaken, removed);
});

afterAll(async () => {
  await other?.stop();
  await leaveWorld(world);
  await s3?.remove();
});

async function newest({ id }: Inhabitant) {
  return (await operationsOf(world, id))[0] ?? {};
}

const spooled = () => readdir(join(world.broker.home.dataDir, 'spool'));

it('backups wait in the spool while their storage is away', async () => {
  const lanes = all.map((inhabitant): Lane => ({
    inhabitant,
    at: inhabitant === patient ? 'after http PUT .*partNumber=1&' : 'after file write .*/spool/',
    ask: () => beginBackup(world.broker, inhabitant.id, { storage: 'away', name: 'late' }),
  }));
  await Promise.all(await allAtTheirMoments(world, lanes));
  await s3.stop();
  away = Date.now();
  world.broker.child.send({ release: true });
  for (const inhabitant of all) {
    const waits = async () => {
      const operation = await newest(inhabitant);
      return operation['next_try_at'] ? operation : undefined;
    };
    expect(await until('the first failure', waits)).toMatchObject({
      state: 'running',
      phase: 'uploading',
      attempt: 1,
      error: { code: 'storage_unreachable' },
    });
  }
  expect(await spooled()).toHaveLength(3);
});

it('a deprovision cancels the one of its instance first', async () => {
  expect((await world.broker.platform.deprovision('removed')).status).toBe(200);
  world.inhabitants.delete('removed');
  const states = (await operationsOf(world, 'removed')).map(({ kind, state }) => `${String(kind)} ${String(state)}`);
  expect(states).toEqual(['deprovision succeeded', 'backup cancelled', 'provision succeeded']);
  expect(await spooled()).toHaveLength(2);
});

it('another broker leaves them to the node that has them', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'broker-'));
  const { home } = world.broker;
  other = await spawnBroker({ home: { ...home, dataDir, config: { ...home.config, data_dir: dataDir } } });
  await world.broker.kill();
  await until('the other broker to have looked at them', async () => (await home.estate.look()).jobs.length === 0);
  for (const inhabitant of [patient, forsaken])
    expect(await newest(inhabitant)).toMatchObject({ state: 'running', phase: 'uploading', attempt: 1 });
});

it('another broker says so once the node has stayed away for as long as uploads are repeated', async () => {
  await world.broker.home.estate.state(
    `UPDATE operation SET memo = memo || jsonb_build_object('node_until', now()) WHERE id = $1`,
    [(await newest(forsaken))['id']],
  );
  await until('its end', async () => (await newest(forsaken))['finished_at'] !== null, { limitMs: 100_000 });
  expect(await newest(forsaken)).toMatchObject({
    state: 'failed',
    error: {
      code: 'storage_unreachable',
      detail: expect.stringMatching(/spool of the broker node .* not come/) as string,
    },
  });
});

it('after a minute node and storage are back: the upload goes on, and pg_dump has run once', async () => {
  await until('a minute to be over', () => Date.now() - away > OUTAGE_MS, { limitMs: 2 * OUTAGE_MS });
  await s3.start();
  await again(world);
  await until('the end of the upload', async () => (await newest(patient))['finished_at'] !== null);
  expect(await newest(patient)).toMatchObject({ state: 'succeeded', error: null });
  expect(timesDumped(world.cluster, 'filling', patient.database)).toBe(1);
  const answer = await world.broker.admin.send('POST', '/restore_instance/patient/late');
  expect(answer).toMatchObject({ status: 200, body: { rows: 509 } });
  patient.point = patient.live;
  const { Contents = [] } = await s3.client.listObjectsV2({ Bucket: bucket });
  expect(Contents.map(({ Key }) => Key)).toEqual(['patient/late.dump', 'patient/late.json']);
  expect((await s3.client.listMultipartUploads({ Bucket: bucket })).Uploads ?? []).toEqual([]);
  expect((await world.broker.admin.delete('/backups/patient/late')).status).toBe(200);
  await other.stop();
  await expectWhole(world);
});
