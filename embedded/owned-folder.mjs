import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isAlive, thisProcess } from './process-mark.mjs';

/**
 * Makes a temporary folder whose name begins with the prefix, and removes those of the same prefix whose maker was
 * killed.
 * @param {string} prefix
 * @returns {string}
 */
export function makeOwnedFolder(prefix) {
  for (const name of readdirSync(tmpdir())) if (name.startsWith(prefix)) removeIfLeft(join(tmpdir(), name));
  const folder = mkdtempSync(join(tmpdir(), prefix));
  writeFileSync(join(folder, 'owner'), JSON.stringify(thisProcess()));
  return folder;
}

/** @param {string} folder */
function removeIfLeft(folder) {
  try {
    if (!isAlive(JSON.parse(readFileSync(join(folder, 'owner'), 'utf8'))))
      rmSync(folder, { recursive: true, force: true });
  } catch {
    // Another run's that is only just being made, or another user's.
  }
}
