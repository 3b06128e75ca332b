import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checksum } from '../integration/postgres/recovery.js';
import { fill, s3Storage, type Tenant, tenantOf, things } from './backups.js';
import { brokerHome, merged } from './broker-home.js';
import { type SpawnedBroker, spawnBroker } from './broker.js';
import { type Json } from './client.js';
import { type Cluster, startCluster } from './cluster.js';
import { type S3Server, startS3Server } from './s3-server.js';
import { type Row, sql } from './sql.js';
import { until } from './until.js';

type Sums = Record<string, string>;

/** What an instance must be like. */
export interface Inhabitant extends Tenant {
  live: Sums;
  /** What its restore point holds. */
  point?: Sums | undefined;
  /** Storage by the name of the backup. */
  backups: Map<string, 'local' | 's3'>;
}

/** A broker that may be killed at any moment, its servers, and what must be there whatever happens. */
export interface World {
  cluster: Cluster;
  s3: S3Server;
  bucket: string;
  broker: SpawnedBroker;
  inhabitants: Map<string, Inhabitant>;
}

const PRELOAD = join(import.meta.dirname, 'strike-at.mjs');

export interface WorldOptions {
  /** Its `storages` come beside `s3`. */
  config?: Json;
  /** Settings of the server. */
  settings?: Record<string, string>;
  /** Where the state database is; the server of the instances unless given. */
  stateCluster?: Cluster;
}

export async function makeWorld({ config = {}, settings = {}, ...state }: WorldOptions = {}): Promise<World> {
  const [cluster, s3] = await Promise.all([startCluster(settings), startS3Server()]);
  const bucket = await s3.makeBucket();
  const home = await brokerHome({ cluster, ...state });
  const storages = [s3Storage(s3, bucket), ...((config['storages'] as Json[] | undefined) ?? [])];
  const own = { ...home.config, operations: { parallel: 16, grace: '2s' } };
  home.config = { ...merged(own, config), storages };
  const broker = await spawnBroker({ home, preload: [PRELOAD] });
  return { cluster, s3, bucket, broker, inhabitants: new Map() };
}

export async function leaveWorld(world: World | undefined): Promise<void> {
  await world?.broker.stop();
  await Promise.all([world?.cluster.remove(), world?.s3.remove()]);
}

/** Another process goes on with the same data folder. */
export async function again(world: World): Promise<void> {
  world.broker = await spawnBroker({ home: world.broker.home, preload: [PRELOAD] });
}

/** An instance with rows, and with so many MiB that do not compress. */
export async function settle({ broker, cluster, inhabitants }: World, id: string, mebibytes = 0): Promise<Inhabitant> {
  const tenant = await tenantOf(broker, cluster, id);
  await tenant.run(
    `CREATE TABLE held (id serial PRIMARY KEY, text text);
     INSERT INTO held (text) SELECT md5(i::text) FROM generate_series(1, 500) i`,
  );
  if (mebibytes > 0) await fill(cluster, tenant, mebibytes);
  const inhabitant = { ...tenant, live: await checksum(cluster, tenant.database), backups: new Map() };
  inhabitants.set(id, inhabitant);
  return inhabitant;
}

/** Another row: the living data are no longer those of any backup. */
export async function change({ cluster }: World, inhabitant: Inhabitant): Promise<void> {
  await inhabitant.run(`INSERT INTO held (text) VALUES (md5(random()::text))`);
  inhabitant.live = await checksum(cluster, inhabitant.database);
}

/**
 * Exactly what must be there is there: once nothing is at work any more.
 * @param looked whose rows and archives are read; all unless given
 */
export async function expectWhole(world: World, looked?: Inhabitant[]): Promise<void> {
  await quiet(world);
  const { cluster, broker, inhabitants } = world;
  const look = await broker.home.estate.look();
  const all = [...inhabitants.values()];
  const read = looked ?? all;
  const points = await broker.home.estate.state('SELECT instance_id, database FROM restore_point');
  expect(points.map((row) => row['instance_id']).sort()).toEqual(idsOf(all.filter(({ point }) => point)));
  expect(look.instances.map(({ id }) => id)).toEqual(idsOf(all));
  const databases = [...look.instances, ...points].map(({ database }) => String(database));
  expect(look.databases).toEqual(databases.sort());
  const roles = look.instances.flatMap((row) => [row['owner_role'], row['connect_role'], row['reader_role']]);
  expect(look.roles).toEqual([...roles, ...look.bindings.map(({ role }) => role)].map(String).sort());
  for (const { id, database, live, point } of read) {
    expect({ id, sums: await checksum(cluster, database) }).toEqual({ id, sums: live });
    const kept = points.find((row) => row['instance_id'] === id)?.['database'];
    if (point) expect({ id, sums: await checksum(cluster, String(kept)) }).toEqual({ id, sums: point });
  }
  await expectBackups(
    world,
    read.map(({ id }) => id),
  );
  expect(await programs(cluster)).toEqual([]);
  const runners = await sql(
    cluster.superuserUrl(),
    `SELECT DISTINCT split_part(application_name, '/', 3) AS process FROM pg_stat_activity
     WHERE starts_with(application_name, 'broker/') AND usename NOT LIKE 'state\\_%'`,
  );
  expect(runners.length).toBeLessThanOrEqual(1);
}

/** Nothing runs, nothing waits to be cleared away. */
async function quiet({ broker }: World): Promise<void> {
  let last: unknown;
  await until('the end of all work', async () => {
    const { active, jobs } = await broker.home.estate.look();
    const left = await broker.home.estate.state(
      `SELECT database AS what FROM discarded_database
       UNION ALL SELECT id::text FROM operation WHERE memo->>'left' = 'true'`,
    );
    const { spool } = await things(broker);
    last = { active, jobs, left, spool };
    return [active, jobs, left, spool].every(({ length }) => length === 0);
  }).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${JSON.stringify(last)}\n${broker.log.slice(-10).join('\n')}`);
  });
}

/** Longer than clocks may differ, in ms. */
const SKEW_MS = 60_000;

/** Half-written uploads and files that nobody had written down go a while later: clocks may differ. */
export async function expectSwept({ broker, s3, bucket }: World): Promise<void> {
  broker.child.send({ leap: SKEW_MS });
  const found = async () => {
    const { local, uploads = [] } = await things(broker, { server: s3, name: bucket });
    return [...local.filter((name) => !/\.(dump|json)$/.test(name)), ...uploads];
  };
  await until('half-written uploads to be removed', async () => (await found()).length === 0);
  expect(await found()).toEqual([]);
}

interface BackupRow {
  storage: 'local' | 's3';
  instance_id: string;
  name: string;
  state: string;
  sha256: string;
}

function placeOf({ storage, instance_id, name }: BackupRow, root: string = storage): string {
  return `${root}/${instance_id}/${name}`;
}

/** Archives, manifests and catalogue say the same, and nothing else is there. */
async function expectBackups({ broker, s3, bucket, inhabitants }: World, read: string[]): Promise<void> {
  const rows = (await broker.home.estate.state('SELECT * FROM backup')) as unknown as BackupRow[];
  const expected = [...inhabitants.values()].flatMap(({ id, backups }) =>
    [...backups].map(([name, storage]) => `${storage}/${id}/${name} available`),
  );
  const stated = rows.map((row) => `${placeOf(row)} ${row.state}`);
  expect(stated.sort()).toEqual(expected.sort());
  const folders = { local: join(broker.home.dataDir, 'backups'), s3: join(s3.dir, bucket) };
  const found = await Promise.all(
    Object.entries(folders).map(async ([storage, folder]) =>
      (await filesIn(folder)).map((file) => `${storage}${file.slice(folder.length)}`),
    ),
  );
  const files = rows.flatMap((row) => ['dump', 'json'].map((end) => `${placeOf(row)}.${end}`));
  expect(found.flat().sort()).toEqual(files.sort());
  for (const row of rows.filter(({ instance_id }) => read.includes(instance_id))) {
    const place = placeOf(row, folders[row.storage]);
    const [archive, manifest] = await Promise.all([readFile(`${place}.dump`), readFile(`${place}.json`, 'utf8')]);
    const { sha256, size_bytes } = (JSON.parse(manifest) as { archive: Json }).archive;
    const hash = createHash('sha256').update(archive).digest('hex');
    expect({ place, sha256, size_bytes }).toEqual({ place, sha256: hash, size_bytes: archive.length });
    expect(row).toMatchObject({ sha256: hash });
  }
}

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const found = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  // Of half-written uploads: broker and S3 server alike keep them apart.
  return found.filter((file) => !/\/\.(partial|sgwtmp)\//.test(file));
}

/** PostgreSQL's programs that somebody has left at work on this server. */
export async function programs(cluster: Cluster): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => {
      const [command = '', environment = ''] = await Promise.all(
        ['cmdline', 'environ'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')),
      );
      const ours = environment.includes(`PGPORT=${cluster.port}\0`);
      return ours && /pg_(dump|restore)/.test(command) ? [command.replaceAll('\0', ' ')] : [];
    }),
  );
  return found.flat();
}

function idsOf(all: Inhabitant[]): string[] {
  return all.map(({ id }) => id).sort();
}

export function operationsOf({ broker }: World, instance: string): Promise<Row[]> {
  return broker.home.estate.state('SELECT * FROM operation WHERE instance_id = $1 ORDER BY created_at DESC', [
    instance,
  ]);
}
