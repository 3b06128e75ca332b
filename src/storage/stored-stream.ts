import { Readable } from 'node:stream';

/**
 * A readable of what the source yields. An aborted signal destroys it with the signal's reason, also while the source
 * is silent. `release` is called once, however it ends and even where it was never read.
 */
export function storedStream(source: AsyncIterable<Uint8Array>, signal: AbortSignal, release: () => void): Readable {
  const stream = Readable.from(source, { objectMode: false, highWaterMark: 1024 * 1024 });
  const abort = () => stream.destroy(signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason)));
  signal.addEventListener('abort', abort, { once: true });
  stream.once('close', () => {
    signal.removeEventListener('abort', abort);
    release();
  });
  if (signal.aborted) abort();
  return stream;
}
