import { createHash } from 'node:crypto';
import { type FileHandle } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { BrokerError } from '../errors.js';

const PIECE = 1024 * 1024;
/** Between looks at the room that is left. */
const LOOK_BYTES = 8 * 1024 * 1024;

/** What a finished file holds. */
export interface Measured {
  size_bytes: number;
  /** In hexadecimal. */
  sha256: string;
}

/** A file that grows: written once, measured as it is written, and read by followers at the same time. */
export class SpoolFile {
  readonly #hash = createHash('sha256');
  #size = 0;
  #end: 'open' | 'done' | Error = 'open';
  #readers = 0;
  #wake: (() => void)[] = [];
  #nextLook = LOOK_BYTES;

  /** @param named resolves when the file's name is on the disk too */
  constructor(
    private readonly handle: FileHandle,
    private readonly maxBytes: number,
    private readonly freeBytes: () => Promise<number>,
    private readonly named: Promise<void>,
  ) {
    named.catch(() => undefined);
  }

  get size(): number {
    return this.#size;
  }

  /** One at a time. @throws BrokerError `spool_full` */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.#size + bytes.length > this.maxBytes) throw full(`spool.max_bytes is reached after ${this.#size} bytes`);
    if (this.#size >= this.#nextLook) await this.#requireRoom();
    this.#hash.update(bytes);
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await this.handle
        .write(bytes, done, bytes.length - done, this.#size + done)
        .catch(explain);
      done += bytesWritten;
    }
    this.#size += bytes.length;
    this.#tell();
  }

  /** The file is whole and on the disk, under its name. */
  async finish(): Promise<Measured> {
    await Promise.all([this.handle.sync(), this.named]).catch(explain);
    this.#end = 'done';
    this.#tell();
    await this.#closeWhenUnused();
    return { size_bytes: this.#size, sha256: this.#hash.digest('hex') };
  }

  /** The file will not be whole: followers fail with the error. */
  async abandon(error: Error): Promise<void> {
    if (this.#end !== 'open') return;
    this.#end = error;
    this.#tell();
    await this.#closeWhenUnused();
  }

  /** All bytes from the first one, as they come; ends when the file is finished, fails when it is abandoned. */
  follow(): Readable {
    this.#readers += 1;
    const stream = Readable.from(this.#pieces(), { objectMode: false, highWaterMark: PIECE });
    stream.once('close', () => {
      this.#readers -= 1;
      void this.#closeWhenUnused();
    });
    return stream;
  }

  async *#pieces(): AsyncGenerator<Buffer> {
    for (let position = 0; ;) {
      if (this.#end instanceof Error) throw this.#end;
      if (position < this.#size) {
        const buffer = Buffer.allocUnsafe(Math.min(PIECE, this.#size - position));
        const { bytesRead } = await this.handle.read(buffer, 0, buffer.length, position);
        if (bytesRead === 0) throw new Error('the spooled file is shorter than what was written');
        position += bytesRead;
        yield buffer.subarray(0, bytesRead);
      } else if (this.#end === 'done') return;
      else await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  /** Others write there too. */
  async #requireRoom(): Promise<void> {
    if ((await this.freeBytes()) <= 0) throw full(`no room is left after ${this.#size} bytes`);
    this.#nextLook = this.#size + LOOK_BYTES;
  }

  #tell(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }

  async #closeWhenUnused(): Promise<void> {
    if (this.#end !== 'open' && this.#readers === 0) await this.handle.close().catch(() => undefined);
  }
}

function explain(error: NodeJS.ErrnoException): never {
  if (['ENOSPC', 'EDQUOT', 'EFBIG'].includes(error.code ?? '')) throw full(error.message, error);
  throw error;
}

function full(why: string, cause?: unknown): BrokerError {
  return new BrokerError('spool_full', `the spool is full: ${why}`, { cause });
}
