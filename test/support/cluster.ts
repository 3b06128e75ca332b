import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BROKER_ROLE, makeServerFolder, STATE, SUPERUSER } from '../../embedded/cluster.mjs';
import { run } from '../../embedded/run.mjs';
import { findFreePort, startServer, ServerStartError, type Server, type StopMode } from '../../embedded/server.mjs';
import { serverUser } from '../../embedded/server-user.mjs';
import { keepSecret } from './run-log.js';
import { testRun } from './test-run.js';

/** A PostgreSQL of its own for one test file: roles and databases as those of the embedded one. */
export interface Cluster {
  readonly host: string;
  readonly port: number;
  /** Of the server process; another one after each start. */
  readonly pid: number;
  readonly dir: string;
  /** Default database: `postgres`. */
  superuserUrl(database?: string): string;
  /** The broker's own login. Default database: `postgres`, the one that it may always connect to. */
  brokerUrl(database?: string): string;
  /** The owner of the empty state database. Default database: that one. */
  stateUrl(database?: string): string;
  /** Ends the server, default `fast`; `start` brings it back with its data, on the same port. */
  stop(mode?: StopMode): Promise<void>;
  start(): Promise<void>;
  /** Ends the server as a crash does. */
  kill(): Promise<void>;
  /** Ends the server at once and deletes its data. What is not removed goes with the test run. */
  remove(): Promise<void>;
}

/** Starts a copy of the run's template on a free port. It ends with this process, even when that is killed. */
export async function startCluster(settings: Record<string, string | number> = {}): Promise<Cluster> {
  const { postgres, folder, passwords } = testRun();
  Object.values(passwords).forEach(keepSecret);
  const dir = join(folder, randomBytes(4).toString('hex'));
  makeServerFolder(dir);
  await run('cp', ['-a', join(folder, 'template', 'data'), dir], { cwd: folder, ...serverUser() });
  const host = '127.0.0.1';
  let port = 0;
  let server: Server;
  const begin = async () => {
    server = await startServer(
      postgres,
      join(dir, 'data'),
      { ...TEST_SETTINGS, ...settings, listen_addresses: host, port },
      { log: `${dir}.log`, diesWithParent: true },
    );
  };
  const url = (user: string, password: string, database: string) =>
    `postgres://${user}:${password}@${host}:${port}/${encodeURIComponent(database)}`;
  await onAnyPort(async (free) => {
    port = free;
    await begin();
  });
  return {
    host,
    dir,
    get port() {
      return port;
    },
    get pid() {
      return server.pid;
    },
    superuserUrl: (database = 'postgres') => url(SUPERUSER, passwords.postgres, database),
    brokerUrl: (database = 'postgres') => url(BROKER_ROLE, passwords.broker, database),
    stateUrl: (database = STATE) => url(STATE, passwords.state, database),
    stop: (mode = 'fast') => server.stop(mode),
    start: begin,
    kill: async () => {
      process.kill(server.pid, 'SIGKILL');
      await server.ended;
    },
    remove: async () => {
      await server.stop('immediate');
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** What the tests kill is PostgreSQL, never the machine: data need not reach the disk. */
const TEST_SETTINGS = {
  fsync: 'off',
  full_page_writes: 'off',
  unix_socket_directories: '',
  max_connections: 200,
  shared_buffers: '32MB',
  log_line_prefix: '%m [%p] %q%u@%d %a ',
};

/** Another program may take a port between its choice and its use. */
async function onAnyPort(begin: (port: number) => Promise<void>): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await begin(await findFreePort());
    } catch (error) {
      if (!(error instanceof ServerStartError && error.portTaken) || tries >= 10) throw error;
    }
  }
}
