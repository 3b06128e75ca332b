import { spawnSync } from 'node:child_process';

/** `nobody`, on every Debian, Ubuntu, Fedora and Alpine. */
const NOBODY = 65534;

/**
 * Who runs PostgreSQL, which refuses to run as root: for root an unprivileged user, else the caller.
 * @returns {{ uid: number, gid: number } | Record<string, never>} to be spread into the options of a spawned program
 */
export function serverUser() {
  return process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
}

/** Whether the user that runs PostgreSQL can pass through this folder. @param {string} folder */
export function serverUserReaches(folder) {
  return spawnSync('test', ['-x', folder], { cwd: '/', stdio: 'ignore', ...serverUser() }).status === 0;
}
