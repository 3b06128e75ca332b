import { lstatSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { createCluster, isCluster, makeServerFolder } from './cluster.mjs';
import { changePort, openServerFolder, passwordsOf, portOf, superuserPassword } from './data-folder.mjs';
import { endLeftServer, isServerLeft } from './leftovers.mjs';
import { findFreePort, isFree, ServerStartError, startServer } from './server.mjs';
import { serverUser } from './server-user.mjs';

/** @typedef {import('./data-folder.mjs').EmbeddedSettings} EmbeddedSettings */
/** @typedef {import('./find-postgres.mjs').Postgres} Postgres */
/** @typedef {import('./server.mjs').Server} Server */
/** @typedef {import('./steps.mjs').Steps} Steps */

/** The longest path of a socket on Linux; its file name takes up to 20 bytes of it. */
const LONGEST_SOCKET_FOLDER = 107 - 20;

/**
 * Starts the PostgreSQL of a data folder; makes it at the first start, ends what an earlier one has left.
 * @param {Postgres} postgres
 * @param {string} dataFolder
 * @param {EmbeddedSettings} settings changed where the port had to change
 * @param {Steps} steps
 * @param {AbortSignal} signal
 * @returns {Promise<Server>}
 */
export async function startEmbeddedServer(postgres, dataFolder, settings, steps, signal) {
  const folder = openServerFolder(dataFolder);
  const home = join(folder, 'postgres');
  if (!isCluster(home)) {
    const passwords = { postgres: superuserPassword(dataFolder), ...passwordsOf(settings) };
    await steps.step('make the PostgreSQL cluster', () => createCluster(postgres, home, passwords, { sync: true }));
  }
  if (isServerLeft(home))
    await steps.step('end the PostgreSQL that an earlier start has left', () => endLeftServer(home));
  else await endLeftServer(home);
  signal.throwIfAborted();
  return steps.step(`start PostgreSQL ${postgres.version}`, () =>
    start(postgres, folder, dataFolder, settings, steps, signal),
  );
}

/** @param {Postgres} postgres @param {string} folder @param {string} dataFolder @param {EmbeddedSettings} settings @param {Steps} steps @param {AbortSignal} signal */
async function start(postgres, folder, dataFolder, settings, steps, signal) {
  const sockets = socketFolder(folder);
  for (let tries = 0; ; tries += 1) {
    if (!(await isFree(portOf(settings)))) {
      const former = portOf(settings);
      changePort(dataFolder, settings, await findFreePort());
      steps.say(`port ${former} is taken by another program: PostgreSQL listens on ${portOf(settings)} from now on`);
    }
    try {
      const server = await startServer(
        postgres,
        join(folder, 'postgres', 'data'),
        serverSettings(folder, sockets, portOf(settings)),
        { log: join(dataFolder, 'postgresql-start.log'), signal },
      );
      /** @type {Server['stop']} */
      const stop = async (mode, patience) => {
        await server.stop(mode, patience);
        removeOutside(sockets, folder);
      };
      return { ...server, stop };
    } catch (error) {
      if (!(error instanceof ServerStartError && error.portTaken) || tries >= 10) throw error;
    }
  }
}

/** @param {string} folder @param {string} sockets @param {number} port */
function serverSettings(folder, sockets, port) {
  return {
    listen_addresses: '127.0.0.1',
    port,
    unix_socket_directories: `"${sockets.replaceAll('"', '""')}"`,
    unix_socket_permissions: '0700',
    max_connections: 200,
    password_encryption: 'scram-sha-256',
    timezone: 'UTC',
    log_timezone: 'UTC',
    log_line_prefix: '%m [%p] %q%u@%d %a ',
    // A week of logs, each day's in a file of its own that is written anew a week later.
    logging_collector: 'on',
    log_directory: join(folder, 'postgres', 'log'),
    log_filename: 'postgresql-%a.log',
    log_rotation_age: '1d',
    log_rotation_size: 0,
    log_truncate_on_rotation: 'on',
    log_file_mode: '0600',
  };
}

/** An empty folder for the unix socket; elsewhere when the path below the data folder is too long for one. @param {string} folder */
function socketFolder(folder) {
  const inside = join(folder, 'socket');
  const fits = Buffer.byteLength(inside) <= LONGEST_SOCKET_FOLDER;
  const sockets = fits ? inside : shortFolder(folder);
  makeServerFolder(sockets);
  for (const name of readdirSync(sockets)) rmSync(join(sockets, name), { force: true });
  return sockets;
}

/** Nothing is left behind elsewhere than in the data folder. @param {string} sockets @param {string} folder */
function removeOutside(sockets, folder) {
  try {
    if (!sockets.startsWith(folder)) rmdirSync(sockets);
  } catch {
    // Removed already, or what is in it is not ours.
  }
}

/** The same at each start, unless somebody else has taken the name. @param {string} folder */
function shortFolder(folder) {
  const owner = serverUser().uid ?? process.getuid?.();
  const path = `/tmp/postgresql-broker-${createHash('sha256').update(folder).digest('hex').slice(0, 16)}`;
  try {
    mkdirSync(path, { mode: 0o700 });
    return path;
  } catch {
    const there = lstatSync(path);
    return there.isDirectory() && there.uid === owner && (there.mode & 0o077) === 0
      ? path
      : mkdtempSync('/tmp/postgresql-broker-');
  }
}
