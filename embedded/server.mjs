import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { serverEnvironment } from './cluster.mjs';
import { serverUser } from './server-user.mjs';

/** @typedef {import('./find-postgres.mjs').Postgres} Postgres */
/** @typedef {'smart' | 'fast' | 'immediate'} StopMode as pg_ctl's */
/** @type {Record<StopMode, NodeJS.Signals>} */
const STOP_SIGNALS = { smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' };

/** PostgreSQL did not start; `portTaken` when another program listens on its port. */
export class ServerStartError extends Error {
  /** @param {string} log @param {string} said */
  constructor(log, said) {
    super(`postgresql did not start, see ${log}:\n${said.slice(-2000)}`);
    this.portTaken = /could not (bind|create any TCP)|Address already in use/i.test(said);
  }
}

/**
 * @typedef {object} Server a running PostgreSQL, child of this process
 * @property {number} pid
 * @property {Promise<void>} ended resolves when it has ended, however
 * @property {(mode: StopMode, patience?: number) => Promise<void>} stop a mode that takes longer than `patience`
 *   milliseconds (default 30,000) is followed by the next sharper one
 */

/**
 * Starts PostgreSQL in a process group of its own (Ctrl-C in a terminal does not reach it) and resolves when it accepts
 * connections.
 * @param {Postgres} postgres
 * @param {string} data the cluster
 * @param {Record<string, string | number>} settings go before those of its postgresql.conf
 * @param {{ log: string, diesWithParent?: boolean, signal?: AbortSignal }} options `log`: a file, written anew
 * @returns {Promise<Server>} rejects with ServerStartError
 */
export async function startServer(postgres, data, settings, { log, diesWithParent, signal }) {
  const output = openSync(log, 'w', 0o600);
  const given = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const command = [join(postgres.bin, 'postgres'), '-D', data, ...given];
  if (diesWithParent && process.platform === 'linux') command.unshift('setpriv', '--pdeathsig', 'QUIT');
  const [program = '', ...args] = command;
  const child = spawn(program, args, {
    cwd: data,
    env: serverEnvironment(data),
    detached: true,
    stdio: ['ignore', output, output],
    ...serverUser(),
  });
  closeSync(output);
  let running = true;
  const ended = new Promise((/** @type {(value: void) => void} */ resolve) => {
    const end = () => {
      running = false;
      resolve();
    };
    child.once('exit', end);
    child.once('error', end);
  });
  while (running && !isReady(data, child.pid) && !signal?.aborted) await Promise.race([wait(10), ended]);
  const pid = child.pid;
  if (!running || pid === undefined) throw new ServerStartError(log, readFileSync(log, 'utf8'));
  child.unref();
  return { pid, ended, stop: (mode, patience) => stop(pid, ended, mode, patience) };
}

/** A port of the loopback that nothing listens on; below those that outgoing connections are given. */
export async function findFreePort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if (await isFree(port)) return port;
  }
}

/** @param {number} port */
export async function isFree(port) {
  const probe = createServer();
  try {
    probe.listen(port, '127.0.0.1');
    await once(probe, 'listening');
    return true;
  } catch {
    return false;
  } finally {
    probe.close();
  }
}

/** @param {number} pid @param {Promise<void>} ended @param {StopMode} mode @param {number} [patience] */
async function stop(pid, ended, mode, patience = 30_000) {
  /** @type {NodeJS.Signals[]} */
  const signals = [STOP_SIGNALS[mode], 'SIGQUIT', 'SIGKILL'];
  for (const signal of signals) {
    try {
      process.kill(pid, signal);
    } catch {
      // It has ended already.
    }
    const impatience = new AbortController();
    const gone = await Promise.race([
      ended.then(() => true),
      wait(patience, false, { signal: impatience.signal }).catch(() => false),
    ]);
    impatience.abort();
    if (gone) return;
  }
}

/** As pg_ctl: the eighth line of postmaster.pid says when connections are accepted.
 * @param {string} data @param {number | undefined} pid */
function isReady(data, pid) {
  const lines = pidFile(data);
  return lines !== undefined && Number(lines[0]) === pid && lines[7]?.trim() === 'ready';
}

/** The lines of postmaster.pid, if there is one. @param {string} data */
export function pidFile(data) {
  try {
    return readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n');
  } catch {
    return undefined;
  }
}
