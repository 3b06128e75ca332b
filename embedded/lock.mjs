import { linkSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { readJson } from './files.mjs';
import { isAlive, thisProcess } from './process-mark.mjs';

/** @typedef {import('./process-mark.mjs').ProcessMark} ProcessMark */
/**
 * @typedef {object} Lock
 * @property {() => void} release
 */

/**
 * Takes the lock that is kept in a folder, unless a living process holds it. A lock whose holder has died is free, even
 * when its pid was given to another process.
 *
 * The file of the highest number names the holder. A holder's file is followed, never removed, before the next holder
 * has its own: two who both find a dead holder want the same next number, and a link of that name is made once.
 * @param {string} folder made with mode 0700 when it is missing
 * @returns {Lock | ProcessMark} the process that holds it, when that is not this one
 */
export function tryLock(folder) {
  // The mode is for this folder only: those above it may be others' way to something else.
  mkdirSync(dirname(folder), { recursive: true });
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const mine = join(folder, `new.${process.pid}`);
  writeFileSync(mine, JSON.stringify(thisProcess()), { mode: 0o600 });
  try {
    for (;;) {
      const last = Math.max(0, ...numbers(folder));
      const holder = last === 0 ? undefined : holderOf(join(folder, String(last)));
      if (holder) return holder;
      const next = join(folder, String(last + 1));
      if (!linked(mine, next)) continue;
      // One who read the folder long ago may have linked a number that had been used and cleared away since.
      if (Math.max(...numbers(folder)) > last + 1) {
        rmSync(next, { force: true });
        continue;
      }
      for (const number of numbers(folder)) if (number <= last) rmSync(join(folder, String(number)), { force: true });
      return { release: () => writeFileSync(next, '') };
    }
  } finally {
    rmSync(mine, { force: true });
  }
}

/**
 * Runs `work` under the lock of a folder, after whoever holds it.
 * @template T
 * @param {string} folder
 * @param {() => void} onWait called once when it has to wait
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function underLock(folder, onWait, work) {
  let lock = tryLock(folder);
  if (!('release' in lock)) onWait();
  while (!('release' in lock)) {
    await wait(100);
    lock = tryLock(folder);
  }
  try {
    return await work();
  } finally {
    lock.release();
  }
}

/** @param {string} folder */
function numbers(folder) {
  return readdirSync(folder)
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** @param {string} file @returns {ProcessMark | undefined} undefined when nobody holds it any more */
function holderOf(file) {
  try {
    const mark = readJson(file);
    return isAlive(mark) ? /** @type {ProcessMark} */ (mark) : undefined;
  } catch {
    return undefined;
  }
}

/** @param {string} from @param {string} to @returns {boolean} false when somebody was quicker */
function linked(from, to) {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'EEXIST') return false;
    throw error;
  }
}
