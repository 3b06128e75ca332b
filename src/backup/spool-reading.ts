import { createHash } from 'node:crypto';
import { type FileHandle } from 'node:fs/promises';
import { BrokerError } from '../errors.js';
import { type Measured } from './spool-file.js';

const PIECE = 1024 * 1024;

/** The spooled archive is gone or has other bytes: no further try can help. */
export class SpoolDamagedError extends BrokerError {
  constructor(why: string, cause?: unknown) {
    super('archive_damaged', `the spooled archive cannot be used: ${why}`, { cause });
  }
}

/** The bytes of a file; the last of them only once all of them are known to be the expected ones. */
export async function* checkedPieces(open: () => Promise<FileHandle>, expected: Measured): AsyncGenerator<Buffer> {
  const handle = await open().catch(explain);
  try {
    const hash = createHash('sha256');
    for (let position = 0; position < expected.size_bytes;) {
      const piece = Buffer.allocUnsafe(Math.min(PIECE, expected.size_bytes - position));
      const { bytesRead } = await handle.read(piece, 0, piece.length, position).catch(explain);
      if (bytesRead === 0) throw new SpoolDamagedError(`it ends after ${position} bytes`);
      position += bytesRead;
      hash.update(piece.subarray(0, bytesRead));
      if (position === expected.size_bytes && hash.digest('hex') !== expected.sha256)
        throw new SpoolDamagedError('its sha256 is another one');
      yield piece.subarray(0, bytesRead);
    }
  } finally {
    await handle.close();
  }
}

/** A file that is gone stays away; a disk or a mount may come back. */
function explain(error: NodeJS.ErrnoException): never {
  if (error.code === 'ENOENT') throw new SpoolDamagedError(error.message, error);
  throw new BrokerError('storage_failed', `the spooled archive cannot be read: ${error.code ?? 'unknown'}`, {
    cause: error,
  });
}
