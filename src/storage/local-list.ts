import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from './local-files.js';
import { isKey } from './object-key.js';
import { type StoredObject } from './storage-provider.js';

const AT_ONCE = 64;

/** The files below `root` whose path starts with the prefix and is a key, sorted by path. */
export async function* listFiles(root: string, prefix: string): AsyncGenerator<StoredObject> {
  const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1);
  yield* walk(root, folder, prefix);
}

async function* walk(root: string, folder: string, prefix: string): AsyncGenerator<StoredObject> {
  const paths = await entriesOf(root, folder);
  // A folder takes the place that its slash gives it, as it would among whole keys.
  const wanted = paths.filter((path) => path.startsWith(prefix) || prefix.startsWith(path)).sort();
  let files: string[] = [];
  for (const path of wanted) {
    if (!path.endsWith('/')) {
      if (path.startsWith(prefix) && isKey(path)) files.push(path);
    } else if (isKey(path.slice(0, -1))) {
      yield* describe(root, files);
      files = [];
      yield* walk(root, path, prefix);
    }
  }
  yield* describe(root, files);
}

async function entriesOf(root: string, folder: string): Promise<string[]> {
  try {
    const entries = await readdir(join(root, folder), { withFileTypes: true });
    return entries.map((entry) => `${folder}${entry.name}${entry.isDirectory() ? '/' : ''}`);
  } catch (error) {
    if (folder !== '' && isErrno(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}

async function* describe(root: string, paths: string[]): AsyncGenerator<StoredObject> {
  for (let from = 0; from < paths.length; from += AT_ONCE) {
    const found = await Promise.all(paths.slice(from, from + AT_ONCE).map((path) => describeOne(root, path)));
    for (const object of found) if (object) yield object;
  }
}

/** What was removed since the folder was read is no object. */
async function describeOne(root: string, key: string): Promise<StoredObject | undefined> {
  try {
    const stats = await lstat(join(root, key));
    return stats.isFile() ? { key, size: stats.size, modifiedAt: stats.mtime } : undefined;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}
