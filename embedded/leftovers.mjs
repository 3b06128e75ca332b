import { readdirSync, readlinkSync, realpathSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { execFileSync } from 'node:child_process';
import { readJson } from './files.mjs';
import { isAlive } from './process-mark.mjs';
import { pidFile } from './server.mjs';

/** How long a left broker has to end by itself: it sees at once that its starter has gone. */
const BROKER_PATIENCE = 10_000;
const SERVER_PATIENCE = 10_000;

/**
 * Ends the broker of a start that was killed, by its recorded pid.
 * @param {string} file
 */
export async function endLeftBroker(file) {
  const mark = recorded(file);
  if (isAlive(mark)) {
    const { pid } = /** @type {import('./process-mark.mjs').ProcessMark} */ (mark);
    const gone = () => !isAlive(mark);
    if (!(await until(gone, BROKER_PATIENCE))) {
      signal([pid], 'SIGKILL');
      await until(gone, BROKER_PATIENCE);
    }
  }
  rmSync(file, { force: true });
}

/** Whether a PostgreSQL still works on this cluster. @param {string} folder whose `data` is the cluster */
export function isServerLeft(folder) {
  return serverProcesses(folder).length > 0;
}

/**
 * Ends the PostgreSQL that an earlier start has left, with every process of it: orderly, then sharply.
 * @param {string} folder whose `data` is the cluster
 */
export async function endLeftServer(folder) {
  const gone = () => serverProcesses(folder).length === 0;
  const main = Number(pidFile(join(folder, 'data'))?.[0]);
  for (const name of /** @type {const} */ (['SIGINT', 'SIGQUIT', 'SIGKILL'])) {
    const processes = serverProcesses(folder);
    signal(name === 'SIGINT' && processes.includes(main) ? [main] : processes, name);
    if (await until(gone, SERVER_PATIENCE)) break;
  }
  // Its pid may be another process's by now, and PostgreSQL would not start beside it.
  rmSync(join(folder, 'data', 'postmaster.pid'), { force: true });
}

/** PostgreSQL's processes work in the cluster's folder. @param {string} folder @returns {number[]} */
function serverProcesses(folder) {
  const data = real(join(folder, 'data'));
  if (process.platform !== 'linux') return fromPidFile(data);
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readlinkSync(`/proc/${pid}/cwd`) === data && basename(readlinkSync(`/proc/${pid}/exe`)) === 'postgres';
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** @param {string} data */
function fromPidFile(data) {
  const pid = Number(pidFile(data)?.[0]);
  if (!(pid > 0)) return [];
  try {
    const command = execFileSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8' });
    return command.includes('postgres') && command.includes(data) ? [pid] : [];
  } catch {
    return [];
  }
}

/** @param {string} path */
function real(path) {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/** @param {string} file @returns {unknown} */
function recorded(file) {
  try {
    return readJson(file);
  } catch {
    return undefined;
  }
}

/** @param {number[]} pids @param {NodeJS.Signals} name */
function signal(pids, name) {
  for (const pid of pids) {
    try {
      process.kill(pid, name);
    } catch {
      // It has ended in the meantime.
    }
  }
}

/** @param {() => boolean} condition @param {number} patience milliseconds */
async function until(condition, patience) {
  for (const end = Date.now() + patience; !condition(); await wait(20)) if (Date.now() > end) return false;
  return true;
}
