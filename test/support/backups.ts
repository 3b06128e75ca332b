import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type RunningBroker } from './broker.js';
import { type Answer, type Json } from './client.js';
import { type Cluster } from './cluster.js';
import { type S3Server } from './s3-server.js';
import { type Row, session } from './sql.js';
import { until } from './until.js';

/** Makes the server's log say what is dumped. */
export const TALKATIVE = { log_statement: 'all' };

/** A provisioned instance, and how to reach its database as its owner. */
export interface Tenant {
  id: string;
  database: string;
  owner: string;
  /** Statements as the owner. */
  run(text: string): Promise<Row[]>;
}

export async function tenantOf(broker: RunningBroker, cluster: Cluster, id: string, body: Json = {}): Promise<Tenant> {
  const answer = await broker.platform.provision(id, body);
  if (answer.status !== 201) throw new Error(`provision of ${id}: ${answer.status} ${answer.text}`);
  const [row] = await broker.home.estate.state('SELECT * FROM service_instance WHERE id = $1', [id]);
  const [database, owner] = [String(row?.['database']), String(row?.['owner_role'])];
  const run = async (text: string) => {
    const client = await session(cluster.superuserUrl(database), { options: `-c role=${owner}` });
    try {
      return ((await client.query(text)) as { rows?: Row[] }).rows ?? [];
    } finally {
      await client.end();
    }
  };
  return { id, database, owner, run };
}

/** Bytes that do not compress: an archive of about so many MiB. */
export async function fill(cluster: Cluster, tenant: Tenant, mebibytes: number): Promise<void> {
  await tenant.run('CREATE TABLE filling (i int, bytes bytea)');
  const client = await session(cluster.superuserUrl(tenant.database));
  for (let i = 0; i < mebibytes; i++)
    await client.query('INSERT INTO filling VALUES ($1, $2)', [i, randomBytes(1024 * 1024)]);
  await client.end();
}

/** How often pg_dump has read the rows of a table; in any database unless one is named. */
export function timesDumped(cluster: Cluster, table: string, database = ''): number {
  const log = readFileSync(`${cluster.dir}.log`, 'utf8');
  return log
    .split('\n')
    .filter((line) => line.includes(`statement: COPY public.${table} (`) && line.includes(`@${database}`)).length;
}

export function s3Storage(server: S3Server, bucket: string, more: Json = {}): Json {
  return {
    name: 's3',
    type: 's3',
    bucket,
    region: 'us-east-1',
    endpoint: server.endpoint,
    force_path_style: true,
    access_key_id: server.keys.accessKeyId,
    secret_access_key: server.keys.secretAccessKey,
    ...more,
  };
}

export function backupPath(instance: string, name?: string): string {
  const tail = name === undefined ? '' : `/${encodeURIComponent(name)}`;
  return `/backups/${encodeURIComponent(instance)}${tail}`;
}

export function makeBackup(
  broker: RunningBroker,
  instance: string,
  query: Record<string, string> = {},
  prefer?: string,
) {
  const headers = prefer === undefined ? {} : { prefer };
  return broker.admin.send('POST', `/backup_instance/${encodeURIComponent(instance)}`, { query, headers });
}

/** Begins a backup and gives its operation's id. */
export async function beginBackup(broker: RunningBroker, instance: string, query: Record<string, string> = {}) {
  const answer = await makeBackup(broker, instance, query, 'respond-async');
  if (answer.status !== 202) throw new Error(`backup of ${instance}: ${answer.status} ${answer.text}`);
  return String(answer.body['id']);
}

export async function operation(broker: RunningBroker, id: string): Promise<Json> {
  return (await broker.admin.get(`/operations/${id}`)).body;
}

/** The operation once it is as wanted. */
export function operationSoon(broker: RunningBroker, id: string, wanted: (operation: Json) => boolean): Promise<Json> {
  let last: Json = {};
  return until(`the operation ${id}`, async () => {
    last = await operation(broker, id);
    return wanted(last) && last;
  }).catch((error: unknown) => {
    throw new Error(`${String(error)}: it is ${JSON.stringify(last)}`);
  });
}

export function ended(broker: RunningBroker, id: string): Promise<Json> {
  return operationSoon(broker, id, ({ state }) => state !== 'queued' && state !== 'running');
}

export async function cancel(broker: RunningBroker, id: string): Promise<Json> {
  const answer = await broker.admin.delete(`/operations/${id}`);
  if (answer.status !== 202) throw new Error(`cancel: ${answer.status} ${answer.text}`);
  return ended(broker, id);
}

/** Everything that backups have made: files of the spool and of `local`, objects and half-written uploads in a bucket. */
export async function things(broker: RunningBroker, bucket?: { server: S3Server; name: string }) {
  const spool = await files(join(broker.home.dataDir, 'spool'));
  const local = await files(join(broker.home.dataDir, 'backups'));
  const roles = await broker.home.estate.look().then((look) => look.roles.filter((role) => /^e/.test(role)));
  if (bucket === undefined) return { spool, local, roles };
  const { client } = bucket.server;
  const [objects, uploads] = await Promise.all([
    client.listObjectsV2({ Bucket: bucket.name }),
    client.listMultipartUploads({ Bucket: bucket.name }),
  ]);
  const keys = (objects.Contents ?? []).map(({ Key }) => Key ?? '');
  return { spool, local, roles, objects: keys, uploads: (uploads.Uploads ?? []).map(({ Key }) => Key ?? '') };
}

async function files(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
}

/** A problem of that code (RFC 9457). */
export function expectProblem(answer: Answer, status: number, code: string, says: RegExp = /\S/): void {
  expect({ status: answer.status, ...answer.body }).toMatchObject({
    status,
    code,
    detail: expect.stringMatching(says) as string,
    request_id: answer.headers['x-request-id'],
  });
  expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
}

/** Holds a table so that a dump that has begun waits for it. */
export async function locked<T>(
  cluster: Cluster,
  { database }: Tenant,
  table: string,
  during: () => Promise<T>,
): Promise<T> {
  const client = await session(cluster.superuserUrl(database));
  await client.query(`BEGIN; LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
  try {
    return await during();
  } finally {
    await client.end();
  }
}
