import { randomBytes } from 'node:crypto';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Credential, type Json } from './client.js';
import { type Cluster } from './cluster.js';
import { Estate } from './estate.js';
import { keepSecret } from './run-log.js';
import { sql } from './sql.js';
import { testRun } from './test-run.js';

/** What stays when a broker is started again: data folder, state database, passwords, keys. */
export interface BrokerHome {
  dataDir: string;
  clusters: Cluster[];
  stateUrl: string;
  platform: Credential;
  admin: Credential;
  encryptionKey: string;
  config: Json;
  /** What is on the servers and in the state database. */
  estate: Estate;
}

export interface HomeOptions {
  /** The servers, in the order of the configuration: `default`, `server-2`, `server-3`. */
  cluster?: Cluster;
  clusters?: Cluster[];
  /** Where the state database is; the first server unless given. */
  stateCluster?: Cluster;
  /** Laid over the configuration; items of `servers` are laid over the servers one by one. */
  config?: Json;
}

export async function brokerHome(options: Omit<HomeOptions, 'config'>): Promise<BrokerHome> {
  const clusters = options.clusters ?? (options.cluster ? [options.cluster] : []);
  const stateCluster = options.stateCluster ?? clusters[0];
  if (!stateCluster) throw new Error('a broker needs a cluster');
  const stateUrl = await makeStateDatabase(stateCluster);
  const dataDir = await mkdtemp(join(tmpdir(), 'broker-'));
  const platform = { username: 'platform', password: secret() };
  const admin = { username: 'admin', password: secret() };
  const encryptionKey = randomBytes(32).toString('base64');
  keepSecret(encryptionKey);
  const config = {
    data_dir: dataDir,
    http: { host: '127.0.0.1', port: 0 },
    platform: { credentials: [platform] },
    admin: { credentials: [admin] },
    state: { url: stateUrl, encryption_keys: [{ id: 'first', secret: encryptionKey }] },
    servers: clusters.map((cluster, index) => ({
      name: index === 0 ? 'default' : `server-${index + 1}`,
      url: cluster.brokerUrl(),
      // node-postgres takes "prefer" in a URL as "require"; these servers have no TLS.
      sslmode: 'disable',
    })),
    // The programs of the servers, wherever this machine has them.
    tools: { postgres_bin_dir: testRun().postgres.bin },
    log: { level: 'debug', format: 'json' },
  };
  const estate = await Estate.of(clusters, stateUrl);
  return { dataDir, clusters, stateUrl, platform, admin, encryptionKey, config, estate };
}

export function secret(): string {
  const drawn = randomBytes(18).toString('hex');
  keepSecret(drawn);
  return drawn;
}

/** Objects are laid over each other key by key, `servers` item by item; everything else is replaced. */
export function merged(under: Json, over: Json): Json {
  const all: Json = { ...under };
  for (const [key, value] of Object.entries(over)) {
    const below = all[key];
    if (key === 'servers' && Array.isArray(below) && Array.isArray(value))
      all[key] = below.map((item: Json, index) => ({ ...item, ...(value[index] as Json | undefined) }));
    else if (isTree(below) && isTree(value)) all[key] = merged(below, value);
    else all[key] = value;
  }
  return all;
}

function isTree(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The state database has a role of its own, so that its sessions can be told from those on tenants' servers. */
async function makeStateDatabase(cluster: Cluster): Promise<string> {
  const name = `state_${randomBytes(4).toString('hex')}`;
  const password = secret();
  await sql(cluster.superuserUrl(), `CREATE ROLE ${name} LOGIN PASSWORD '${password}'`);
  await sql(cluster.superuserUrl(), `CREATE DATABASE ${name} OWNER ${name}`);
  return `postgres://${name}:${password}@${cluster.host}:${cluster.port}/${name}`;
}
