import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { BrokerError } from '../errors.js';

/**
 * The archive as it passes, with its last piece held back until the bytes are known to be those of the manifest. Where
 * they are not, the stream fails short of its length: nobody can take it for the archive.
 */
export async function* checkedArchive(
  body: Readable,
  expected: { sizeBytes: number; sha256: string },
): AsyncGenerator<Buffer> {
  const hash = createHash('sha256');
  let held: Buffer | undefined;
  let size = 0;
  for await (const chunk of body) {
    const piece = chunk as Buffer;
    hash.update(piece);
    size += piece.length;
    if (held !== undefined) yield held;
    held = piece;
  }
  if (size !== expected.sizeBytes || hash.digest('hex') !== expected.sha256) throw notAsRecorded();
  if (held !== undefined) yield held;
}

export function notAsRecorded(): BrokerError {
  return new BrokerError('archive_damaged', 'the archive is damaged: its bytes are not those of the manifest');
}

/**
 * A stream whose first piece is there already: what fails before it rejects, so that it can still be answered.
 */
export async function begun(pieces: AsyncGenerator<Buffer>): Promise<Readable> {
  const first = await pieces.next();
  async function* all() {
    if (first.done !== true) yield first.value;
    yield* pieces;
  }
  return Readable.from(all(), { objectMode: false, highWaterMark: 1024 * 1024 });
}
