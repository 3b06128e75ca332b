import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A new folder for one measurement, gone with this process at the latest. @param {string} name */
export function makeFolder(name) {
  const folder = mkdtempSync(join(tmpdir(), `broker-bench-${name}-`));
  process.once('exit', () => removeFolder(folder));
  return folder;
}

/** @param {string} folder */
export function removeFolder(folder) {
  // A server that has just been killed may still write there.
  rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
}
