import { randomBytes } from 'node:crypto';
import { mkdir, open, rename, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type BodyReader } from './body-reader.js';

const CHUNK = 1024 * 1024;

export function isErrno(error: unknown, ...codes: string[]): boolean {
  return codes.includes((error as NodeJS.ErrnoException | undefined)?.code ?? '');
}

/** Where half-written files lie: on the same file system, and under a name that is no key. */
export const PARTIAL = '.partial';

/** A new file in the partial folder, mode 0600. */
export async function createPartial(root: string): Promise<{ file: string; handle: FileHandle }> {
  await mkdir(join(root, PARTIAL), { mode: 0o700 }).catch((error: unknown) => {
    if (!isErrno(error, 'EEXIST')) throw error;
  });
  const file = join(root, PARTIAL, randomBytes(12).toString('hex'));
  return { file, handle: await open(file, 'wx', 0o600) };
}

/**
 * Passes the body on in pieces, one being written while the next one is read. Resolves with the number of bytes. A
 * failing write ends the body at once, and its error goes before what the body then says.
 */
export async function writeBody(
  write: (bytes: Buffer, position: number) => Promise<void>,
  reader: BodyReader,
  report: (bytes: number) => void = () => {},
): Promise<number> {
  let [current, spare] = [Buffer.allocUnsafe(CHUNK), Buffer.allocUnsafe(CHUNK)];
  let written = 0;
  let writing: Promise<void> = Promise.resolve();
  try {
    for (;;) {
      const filled = await reader.fill(current);
      await writing;
      report(written);
      if (filled === 0) return written;
      writing = write(current.subarray(0, filled), written);
      writing.catch(() => reader.close());
      written += filled;
      [current, spare] = [spare, current];
    }
  } catch (error) {
    await writing;
    throw error;
  }
}

export async function writeAll(handle: FileHandle, bytes: Buffer, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

/** Bytes `start` to `end`, both included; a file that is shorter by then is an error, not an end. */
export async function* readPieces(handle: FileHandle, start: number, end: number): AsyncGenerator<Buffer> {
  for (let position = start; position <= end;) {
    const piece = Buffer.allocUnsafe(Math.min(CHUNK, end - position + 1));
    const { bytesRead } = await handle.read(piece, 0, piece.length, position);
    if (bytesRead === 0) throw new Error(`the file ended at byte ${position}, ${end - position + 1} bytes too early`);
    position += bytesRead;
    yield piece.subarray(0, bytesRead);
  }
}

/** Gives a finished, synced file its place: when it resolves, the file is there even after a power failure. */
export async function place(root: string, file: string, key: string): Promise<void> {
  const target = join(root, key);
  // A folder that became empty is removed by whoever emptied it: perhaps just now.
  for (let attempt = 1; ; attempt++) {
    await makeFolders(root, key);
    try {
      await rename(file, target);
      break;
    } catch (error) {
      if (!isErrno(error, 'ENOENT') || attempt === 10) throw error;
      await nextTurn();
    }
  }
  await syncFolder(dirname(target));
}

/** The root itself is never made: where it has gone, a file system is not mounted. */
async function makeFolders(root: string, key: string): Promise<void> {
  let folder = root;
  for (const segment of key.split('/').slice(0, -1)) {
    const parent = folder;
    folder = join(folder, segment);
    try {
      await mkdir(folder, { mode: 0o700 });
      await syncFolder(parent);
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) throw error;
    }
  }
}

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
