import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BROKER_ENVIRONMENT, BROKER_FLAGS } from '../embedded/broker-process.mjs';
import { createCluster, BROKER_ROLE, makeServerFolder, STATE, SUPERUSER } from '../embedded/cluster.mjs';
import { obtainPostgres } from '../embedded/obtain-postgres.mjs';
import { prepareCheckout } from '../embedded/prepare.mjs';
import { DIST, projectNode } from '../embedded/project.mjs';
import { findFreePort, startServer } from '../embedded/server.mjs';
import { createSteps } from '../embedded/steps.mjs';
import { makeFolder, removeFolder } from './bench-folder.mjs';

/**
 * A broker as operators run it (its own process, from the build) with a PostgreSQL that really writes to disk.
 * @typedef {object} BenchBroker
 * @property {string} url
 * @property {{ username: string, password: string }} platform
 * @property {{ username: string, password: string }} admin
 * @property {number} pid of the broker
 * @property {import('../embedded/find-postgres.mjs').Postgres} postgres
 * @property {string} postgresVersion
 * @property {string} folder for files of the measurement, on the same disk as all else
 * @property {(database?: string) => string} superuserUrl
 * @property {string} brokerUrl
 * @property {string} stateUrl
 * @property {string} serverLog where the server writes what the broker's sessions execute
 * @property {() => Promise<void>} end ends both and removes their data
 */

const secret = () => randomBytes(16).toString('hex');

/**
 * @param {{ maxConnections: number, more?: Record<string, unknown> }} options `more`: further keys of the configuration
 * @returns {Promise<BenchBroker>}
 */
export async function startBenchBroker({ maxConnections, more = {} }) {
  const steps = createSteps();
  const signal = new AbortController().signal;
  await prepareCheckout(steps, signal);
  const postgres = await obtainPostgres(process.env, steps, signal);
  const folder = makeFolder('broker');
  chmodSync(folder, 0o711);
  const cluster = join(folder, 'postgresql');
  makeServerFolder(cluster);
  const passwords = { postgres: secret(), broker: secret(), state: secret() };
  await createCluster(postgres, cluster, passwords, { sync: true });
  const port = await findFreePort();
  const serverLog = join(folder, 'postgresql.log');
  const server = await startServer(
    postgres,
    join(cluster, 'data'),
    { listen_addresses: '127.0.0.1', port, unix_socket_directories: '', max_connections: 200 },
    { log: serverLog, diesWithParent: true },
  );
  const url = (/** @type {string} */ user, /** @type {string} */ password, /** @type {string} */ database) =>
    `postgres://${user}:${password}@127.0.0.1:${port}/${database}`;
  const brokerUrl = url(BROKER_ROLE, passwords.broker, 'postgres');
  const stateUrl = url(STATE, passwords.state, STATE);
  const platform = { username: 'platform', password: secret() };
  const admin = { username: 'admin', password: secret() };
  const config = join(folder, 'broker.json');
  mkdirSync(join(folder, 'broker'), { mode: 0o700 });
  writeFileSync(
    config,
    JSON.stringify({
      data_dir: join(folder, 'broker'),
      http: { port: 0, sync_wait: '1h' },
      platform: { credentials: [platform] },
      admin: { credentials: [admin] },
      state: { url: stateUrl, encryption_keys: [{ id: 'bench', secret: randomBytes(32).toString('base64') }] },
      servers: [{ name: 'default', url: brokerUrl, sslmode: 'disable', max_connections: maxConnections }],
      log: { level: 'info', format: 'json' },
      ...more,
    }),
    { mode: 0o600 },
  );
  const broker = spawn(projectNode(), [...BROKER_FLAGS, join(DIST, 'main.js')], {
    env: { ...BROKER_ENVIRONMENT, PATH: process.env['PATH'], BROKER_CONFIG: config },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const messages = /** @type {{ ready: string }[]} */ (await once(broker, 'message'));
  return {
    url: messages[0]?.ready ?? '',
    platform,
    admin,
    pid: broker.pid ?? 0,
    postgres,
    postgresVersion: postgres.version,
    folder,
    superuserUrl: (database = 'postgres') => url(SUPERUSER, passwords.postgres, database),
    brokerUrl,
    stateUrl,
    serverLog,
    end: async () => {
      const ended = once(broker, 'exit');
      broker.kill('SIGTERM');
      await ended;
      await server.stop('fast');
      removeFolder(folder);
    },
  };
}
