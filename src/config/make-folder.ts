import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Makes a folder, mode 0700, and those above it, as far as they are missing. Node's own `recursive` tries for ever
 * where a file system refuses with ENOENT, as /proc does.
 * @throws the error of mkdir(2); ENOTDIR where something else is in the place of one
 */
export async function makeFolder(path: string, mode = 0o700): Promise<void> {
  if (await isFolder(path)) return;
  const above = dirname(path);
  // The mode is for this folder only: those above it may be others' way to something else.
  if (above !== path) await makeFolder(above, 0o777);
  try {
    await mkdir(path, { mode });
  } catch (error) {
    const made = (error as NodeJS.ErrnoException).code === 'EEXIST' && (await isFolder(path));
    if (!made) throw error;
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    if ((await stat(path)).isDirectory()) return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
  throw Object.assign(new Error(`ENOTDIR: not a directory, '${path}'`), { code: 'ENOTDIR', path });
}
