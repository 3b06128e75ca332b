import { Readable } from 'node:stream';
import { asError } from './as-error.js';
import { notePassed } from './passed-buffers.js';

/**
 * A readable of what the source yields. An aborted signal destroys it with the signal's reason, also while the source
 * is silent. `release` is called once, however it ends and even where it was never read; it must end the source's waits.
 */
export function storedStream(source: AsyncIterable<Uint8Array>, signal: AbortSignal, release: () => void): Readable {
  return new StoredStream(source[Symbol.asyncIterator](), signal, release);
}

class StoredStream extends Readable {
  readonly #abort = () => this.destroy(asError(this.signal.reason));

  constructor(
    private readonly source: AsyncIterator<Uint8Array>,
    private readonly signal: AbortSignal,
    private readonly release: () => void,
  ) {
    super({ highWaterMark: 1024 * 1024 });
    // Whoever reads it meets the error. One that comes while nobody reads yet must not end the process.
    this.on('error', () => {});
    signal.addEventListener('abort', this.#abort, { once: true });
    if (signal.aborted) this.#abort();
  }

  override _read(): void {
    this.source.next().then(
      ({ done, value }) => {
        if (!done) notePassed(value.length);
        this.push(done ? null : value);
      },
      (error: unknown) => this.destroy(asError(error)),
    );
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.signal.removeEventListener('abort', this.#abort);
    this.release();
    // It may wait for what `release` has just ended: nobody has to wait for that.
    this.source.return?.().catch(() => {});
    done(error);
  }
}
