import { createHash, randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { configSchema } from '../../../src/config/schema.js';
import { Archives, type InspectOptions } from '../../../src/postgres/archives.js';
import { type DumpFacts } from '../../../src/postgres/dump-facts.js';
import { type DumpOptions, Dumps } from '../../../src/postgres/dumps.js';
import { PostgresServers } from '../../../src/postgres/postgres-servers.js';
import { type Filled, type FillOptions, Restores } from '../../../src/postgres/restores.js';
import { type RestoreNames } from '../../../src/postgres/shadow.js';
import { type SwapIntent } from '../../../src/postgres/swap.js';
import { type TenantNames } from '../../../src/postgres/tenant.js';
import { TenantDatabases } from '../../../src/postgres/tenant-databases.js';
import { PostgresTools } from '../../../src/postgres/tools.js';
import { type Cluster } from '../../support/cluster.js';
import { run } from '../../../embedded/run.mjs';
import { type Row, session, sql } from '../../support/sql.js';
import { testRun } from '../../support/test-run.js';
import { step, never } from './estate.js';

/** What a broker does for backups on one cluster, and a folder for archives. */
export interface Recovery {
  servers: PostgresServers;
  tools: PostgresTools;
  tenants: TenantDatabases;
  dumps: Dumps;
  archives: Archives;
  restores: Restores;
  folder: string;
  runner: string;
  close(): Promise<void>;
}

/** The extensions that plans allow by default, as far as these tests use them. */
export const TRUSTED = ['citext', 'hstore', 'pg_trgm', 'pgcrypto', 'uuid-ossp', 'btree_gist', 'intarray'];

export async function recoveryOn(
  cluster: Cluster,
  more: { superuser?: boolean; binDir?: string; dataDir?: string } = {},
): Promise<Recovery> {
  const folder = await mkdtemp(join(tmpdir(), 'recovery-'));
  const password = randomBytes(9).toString('hex');
  const config = configSchema.parse({
    data_dir: folder,
    platform: { credentials: [{ password }] },
    admin: { credentials: [{ password }] },
    state: {
      url: 'postgres://nobody@localhost/none',
      encryption_keys: [{ id: 'k', secret: randomBytes(32).toString('base64') }],
    },
    servers: [
      {
        name: 'default',
        url: cluster.brokerUrl(),
        ...(more.superuser && { superuser_url: cluster.superuserUrl() }),
      },
    ],
    tools: { postgres_bin_dir: more.binDir ?? testRun().postgres.bin },
  });
  const identity = { node: 'n', process: randomBytes(6).toString('hex'), runner: '' };
  identity.runner = `${identity.node}/${identity.process}`;
  const servers = new PostgresServers(config, identity);
  const tools = new PostgresTools(config, identity);
  return {
    servers,
    tools,
    tenants: new TenantDatabases(servers),
    dumps: new Dumps(servers, tools, identity),
    archives: new Archives(tools),
    restores: new Restores(servers, tools, identity),
    folder,
    runner: identity.runner,
    close: async () => {
      await servers.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export interface Taken {
  file: string;
  facts: DumpFacts;
  sha256: string;
}

let files = 0;

export function fileIn({ folder }: Recovery, ending = 'dump'): string {
  return join(folder, `${++files}.${ending}`);
}

/** A whole dump into a file, its role dropped afterwards. */
export async function take(
  recovery: Recovery,
  names: TenantNames,
  options: Partial<DumpOptions> = {},
  signal = never,
): Promise<Taken> {
  const { dumps } = recovery;
  const role = options.role ?? dumps.drawEphemeralRole();
  const file = fileIn(recovery);
  const hash = createHash('sha256');
  try {
    const { archive, facts } = await dumps.dump(names, { ...options, role }, signal);
    archive.on('data', (chunk: Buffer) => hash.update(chunk));
    await pipeline(archive, createWriteStream(file, { mode: 0o600 }));
    return { file, facts: await facts(file), sha256: hash.digest('hex') };
  } finally {
    await dumps.dropEphemeralRole(names, role, never);
  }
}

export interface Restored extends Filled {
  shadow: RestoreNames;
  outageMs: number;
  intent: SwapIntent;
  swapLeftOut: string[];
  inspected: { leftOut: string[]; uncompressedBytes: number };
}

/** Inspects, fills and swaps; what fails is cleaned as an operation's undo would. */
export async function restore(
  recovery: Recovery,
  names: TenantNames,
  file: string,
  options: Partial<FillOptions> & Partial<InspectOptions> = {},
  signal = never,
): Promise<Restored> {
  const { archives, restores } = recovery;
  const own = options.own ?? false;
  const inspected = await archives.inspect(file, { own, allowedExtensions: TRUSTED, ...options }, signal);
  const shadow = restores.drawNames();
  try {
    const filling = { jobs: 2, file, own, list: inspected.list, uncompressedBytes: inspected.uncompressedBytes };
    const filled = await restores.fill(names, shadow, { ...filling, ...options }, step(signal));
    let intent: SwapIntent | undefined;
    const swapped = await restores.swap(
      names,
      { incoming: shadow.database, outgoing: shadow.restorePoint },
      (told) => {
        intent = told;
        return Promise.resolve();
      },
      signal,
    );
    if (intent === undefined) throw new Error('the intent was not told');
    return { ...filled, shadow, intent, inspected, outageMs: swapped.outageMs, swapLeftOut: swapped.leftOut };
  } catch (error) {
    await restores.discardShadow(names, shadow, never);
    throw error;
  }
}

/** One hash over the rows of every table, sequences and large objects included. */
export async function checksum(cluster: Cluster, database: string): Promise<Record<string, string>> {
  const client = await session(cluster.superuserUrl(database));
  try {
    await client.query(
      'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL temp_file_limit = -1; SET LOCAL statement_timeout = 0',
    );
    const { rows } = await client.query<{ name: string; kind: string }>(
      `SELECT format('%I.%I', n.nspname, c.relname) AS name, c.relkind AS kind
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE c.relkind IN ('r', 'S', 'm') AND c.relpersistence <> 't' AND NOT starts_with(n.nspname, 'pg_')
         AND n.nspname <> 'information_schema' ORDER BY 1`,
    );
    const sums: Record<string, string> = {};
    for (const { name, kind } of rows) {
      const text =
        kind === 'S'
          ? `SELECT last_value::text || is_called::text AS sum FROM ${name}`
          : `SELECT count(*) || ':' || coalesce(md5(string_agg(t::text, '|' ORDER BY t::text COLLATE "C")), '') AS sum FROM ONLY ${name} t`;
      sums[name] = (await client.query<{ sum: string }>(text)).rows[0]?.sum ?? '';
    }
    const { rows: large } = await client.query<{ sum: string }>(
      `SELECT count(*) || coalesce(md5(string_agg(md5(lo_get(oid)), '' ORDER BY oid)), '') AS sum FROM pg_largeobject_metadata`,
    );
    sums['large objects'] = large[0]?.sum ?? '';
    return sums;
  } finally {
    await client.end();
  }
}

/** Roles, databases and sessions of a cluster, to be compared before and after. */
export async function inventory(cluster: Cluster): Promise<Row[]> {
  return sql(
    cluster.superuserUrl(),
    `SELECT 'database ' || datname AS what, datacl::text || datconnlimit || datallowconn AS how FROM pg_database
     UNION ALL SELECT 'role ' || rolname, concat(rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin,
       rolreplication, rolbypassrls, rolconnlimit, rolpassword, rolvaliduntil) FROM pg_authid
     UNION ALL SELECT 'member ' || member::regrole || ' of ' || roleid::regrole, admin_option::text FROM pg_auth_members
       WHERE member::regrole::text <> 'broker'
     UNION ALL SELECT concat('setting ', (SELECT rolname FROM pg_roles r WHERE r.oid = setrole), ' ',
       (SELECT datname FROM pg_database d WHERE d.oid = setdatabase)), setconfig::text FROM pg_db_role_setting
     UNION ALL SELECT 'session of ' || usename || ' in ' || datname, '' FROM pg_stat_activity
       WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND usename ~ '^e[a-z0-9]{19}$'
     ORDER BY 1, 2`,
  );
}

/** Programs of PostgreSQL's client that work on this cluster or on a file of this folder. */
export async function programs({ folder }: Recovery, cluster: Cluster): Promise<string[]> {
  const found = await readdir('/proc');
  const { readFile } = await import('node:fs/promises');
  const commands = await Promise.all(
    found
      .filter((name) => /^\d+$/.test(name))
      .map(async (pid) => {
        const [command, environment] = await Promise.all(
          ['cmdline', 'environ'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')),
        );
        const ours = environment?.includes(`PGPORT=${cluster.port}`) || command?.includes(folder);
        return ours && /pg_(dump|restore)/.test(command ?? '') ? (command ?? '').replaceAll('\0', ' ') : '';
      }),
  );
  return commands.filter((command) => command !== '');
}

/** Runs a client program of PostgreSQL as a person would, as superuser. */
export function tool(cluster: Cluster, name: string, args: string[], database = 'postgres'): Promise<string> {
  const url = new URL(cluster.superuserUrl(database));
  return run(join(testRun().postgres.bin, name), args, {
    env: {
      PATH: process.env['PATH'],
      PGHOST: cluster.host,
      PGPORT: String(cluster.port),
      PGUSER: url.username,
      PGPASSWORD: url.password,
      PGDATABASE: database,
      LC_ALL: 'C',
    },
  });
}

/** A folder of programs with these scripts in the place of the real ones. */
export async function fakeTools(folder: string, scripts: Record<string, string>): Promise<string> {
  const { symlink, writeFile } = await import('node:fs/promises');
  const bin = join(folder, `bin${++files}`);
  await mkdir(bin);
  for (const name of ['pg_dump', 'pg_restore']) {
    const script = scripts[name];
    if (script === undefined) await symlink(join(testRun().postgres.bin, name), join(bin, name));
    else {
      await writeFile(join(bin, name), `#!/bin/sh\nreal=${join(testRun().postgres.bin, name)}\n${script}\n`);
      await chmod(join(bin, name), 0o755);
    }
  }
  return bin;
}
