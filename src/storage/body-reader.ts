import { type Readable } from 'node:stream';
import { asError } from './as-error.js';

/**
 * Takes a body in pieces of any size. Keeps apart whose fault a failure is: `fill` rejects only with the body's own
 * error, or with the reason of the signal, which ends the wait for a body that is silent.
 */
export class BodyReader {
  readonly #chunks: AsyncIterator<unknown>;
  readonly #abort: () => void;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(
    private readonly body: Readable,
    private readonly signal: AbortSignal,
  ) {
    // A body that broke before anybody listened must not pass as an empty one.
    if (body.readableEnded || body.destroyed) throw body.errored ?? new Error('the body has ended before it was read');
    this.#abort = () => body.destroy(asError(signal.reason));
    body.on('error', () => {});
    signal.addEventListener('abort', this.#abort, { once: true });
    this.#chunks = body[Symbol.asyncIterator]();
  }

  /** Fills the target from its start; resolves with fewer bytes than it holds only at the end of the body. */
  async fill(target: Uint8Array): Promise<number> {
    let filled = 0;
    while (filled < target.length) {
      if (this.#rest.length === 0) {
        const chunk = await this.next();
        if (chunk === undefined) break;
        this.#rest = chunk;
      }
      const taken = this.#rest.subarray(0, target.length - filled);
      target.set(taken, filled);
      filled += taken.length;
      this.#rest = this.#rest.subarray(taken.length);
    }
    return filled;
  }

  /** Ends the body, wherever it is. */
  close(): void {
    this.signal.removeEventListener('abort', this.#abort);
    this.body.destroy();
  }

  private async next(): Promise<Uint8Array | undefined> {
    try {
      const chunk = await this.#chunks.next();
      if (chunk.done) return undefined;
      return chunk.value instanceof Uint8Array ? chunk.value : Buffer.from(String(chunk.value));
    } catch (error) {
      this.signal.throwIfAborted();
      throw error;
    }
  }
}
