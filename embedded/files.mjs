import { closeSync, fsyncSync, linkSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** @param {string} file @returns {unknown} */
export function readJson(file) {
  return JSON.parse(readFileSync(file, 'utf8'));
}

/** Replaces a file, mode 0600, so that a crash leaves the old text or the new one. @param {string} file @param {string} text */
export function writeSecretFile(file, text) {
  const fresh = `${file}.new.${process.pid}`;
  writeDurably(fresh, text);
  renameSync(fresh, file);
  syncFolder(dirname(file));
}

/**
 * Makes a file, mode 0600, unless it is there: of several who try at once one succeeds.
 * @param {string} file @param {string} text
 */
export function makeSecretFile(file, text) {
  const fresh = `${file}.new.${process.pid}`;
  writeDurably(fresh, text);
  try {
    linkSync(fresh, file);
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error;
  } finally {
    rmSync(fresh, { force: true });
  }
  syncFolder(dirname(file));
}

/** @param {string} file @param {string} text */
function writeDurably(file, text) {
  rmSync(file, { force: true });
  const descriptor = openSync(file, 'wx', 0o600);
  try {
    writeFileSync(descriptor, text);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** @param {string} folder */
function syncFolder(folder) {
  const descriptor = openSync(folder, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
