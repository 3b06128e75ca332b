import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/**
 * Names one process for good: a pid alone is given to another process later.
 * @typedef {{ pid: number, started: string }} ProcessMark
 */

/** @returns {ProcessMark} */
export function thisProcess() {
  return { pid: process.pid, started: startOf(process.pid) ?? '' };
}

/** @param {number} pid @returns {ProcessMark | undefined} undefined when there is no such process */
export function markOf(pid) {
  const started = startOf(pid);
  return started === undefined ? undefined : { pid, started };
}

/** Whether exactly this process still runs. @param {unknown} mark as written to a file; anything else counts as ended */
export function isAlive(mark) {
  if (typeof mark !== 'object' || mark === null) return false;
  const { pid, started } = /** @type {Partial<ProcessMark>} */ (mark);
  return typeof pid === 'number' && pid > 0 && started !== undefined && startOf(pid) === started;
}

/** When the process began, in a form that only compares. A zombie has ended. @param {number} pid */
function startOf(pid) {
  if (process.platform === 'linux') return startOnLinux(pid);
  try {
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim() || undefined;
  } catch {
    return undefined;
  }
}

/** @param {number} pid */
function startOnLinux(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name, in brackets, may hold anything; what follows it starts with the state, field 3. The start is field 22.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}/${fields[19] ?? ''}`;
  } catch {
    return undefined;
  }
}
