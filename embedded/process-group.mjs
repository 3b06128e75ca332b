import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';

const PATIENCE = 5_000;

/** The living processes of a group: a zombie has ended. @param {number} group @returns {string[]} */
function membersOf(group) {
  if (process.platform !== 'linux') return signalled(group, 0) ? [`group ${group}`] : [];
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
        // The name, in brackets, may hold anything; what follows it are the state, the parent, the group.
        const [state = '', , itsGroup] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
        if (Number(itsGroup) !== group || 'ZX'.includes(state)) return [];
        return [`${pid} ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()}`];
      } catch {
        return [];
      }
    });
}

/**
 * Waits for the end of a group, but not for ever.
 * @param {number} group
 * @returns {Promise<string[]>} those that are left, each as `PID COMMAND`
 */
export async function leftOf(group) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const left = membersOf(group);
    if (left.length === 0 || Date.now() > end) return left;
    await wait(50);
  }
}

/** Ends every process of a group: as asked to, then sharply. @param {number} group */
export async function endGroup(group) {
  signalled(group, 'SIGTERM');
  if ((await leftOf(group)).length === 0) return;
  signalled(group, 'SIGKILL');
  await leftOf(group);
}

/** @param {number} group @param {NodeJS.Signals | 0} name @returns {boolean} false when there is no such group */
function signalled(group, name) {
  try {
    return process.kill(-group, name);
  } catch {
    return false;
  }
}
