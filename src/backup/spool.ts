import { randomBytes } from 'node:crypto';
import { open, readdir, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { Inject, Injectable, Logger } from '@nestjs/common';
import { BROKER_CONFIG } from '../config/config.module.js';
import { makeFolder } from '../config/make-folder.js';
import { type BrokerConfig } from '../config/schema.js';
import { BrokerError } from '../errors.js';
import { syncFolder } from '../storage/local-files.js';
import { SpoolFile } from './spool-file.js';
import { checkedPieces } from './spool-reading.js';

/** Bytes that are left free beside what is asked for: others need some of the same disk. */
const RESERVE = 16 * 1024 * 1024;

/** Where archives wait on their way to and from a storage: files of mode 0600 in a folder of this node. */
@Injectable()
export class Spool {
  readonly #logger = new Logger('Spool');
  readonly #folder: string;
  readonly #maxBytes: number;

  constructor(@Inject(BROKER_CONFIG) config: BrokerConfig) {
    this.#folder = config.spool.path ?? join(config.data_dir, 'spool');
    this.#maxBytes = config.spool.max_bytes ?? Infinity;
  }

  /** A name for a file of that operation, to be written down before it is made. */
  draw(operationId: string): string {
    return `${operationId}-${randomBytes(4).toString('hex')}`;
  }

  path(name: string): string {
    return join(this.#folder, name);
  }

  async prepare(): Promise<void> {
    await makeFolder(this.#folder);
  }

  /** Bytes that may still be written. */
  async freeBytes(): Promise<number> {
    const [{ bavail, bsize }, used] = await Promise.all([statfs(this.#folder), this.#usedBytes()]);
    return Math.max(0, Math.min(bavail * bsize - RESERVE, this.#maxBytes - used));
  }

  /** @throws BrokerError `spool_full` that says how much is missing */
  async requireRoom(bytes: number): Promise<void> {
    const free = await this.freeBytes();
    if (bytes <= free) return;
    const missing = Math.ceil(bytes - free);
    throw new BrokerError(
      'spool_full',
      `the spool has room for ${free} bytes and about ${Math.ceil(bytes)} are needed: ${missing} are missing`,
      { details: { missing_bytes: missing } },
    );
  }

  /** A new file, to be written from its start. */
  async create(name: string): Promise<SpoolFile> {
    await this.prepare();
    const limit = this.#maxBytes === Infinity ? Infinity : await this.freeBytes();
    const handle = await open(this.path(name), 'wx+', 0o600);
    return new SpoolFile(handle, limit, () => this.freeBytes(), syncFolder(this.#folder));
  }

  /**
   * The bytes of a finished file. The stream fails where they are not those that were written: it never ends short or
   * with other bytes.
   */
  read(name: string, expected: { size_bytes: number; sha256: string }): Readable {
    const pieces = checkedPieces(() => open(this.path(name), 'r'), expected);
    return Readable.from(pieces, { objectMode: false, highWaterMark: 1024 * 1024 });
  }

  async has(name: string): Promise<boolean> {
    const found = await stat(this.path(name)).catch(() => undefined);
    return found?.isFile() === true;
  }

  /** One that is gone is success. */
  async remove(name: string): Promise<void> {
    await rm(this.path(name), { force: true });
  }

  /** At start: removes what no operation needs any more. */
  async sweep(keep: ReadonlySet<string>): Promise<void> {
    await this.prepare();
    for (const name of await readdir(this.#folder)) {
      if (keep.has(name)) continue;
      await rm(this.path(name), { force: true, recursive: true });
      this.#logger.log(`${name} was left behind and is removed`);
    }
  }

  async #usedBytes(): Promise<number> {
    if (this.#maxBytes === Infinity) return 0;
    const names = await readdir(this.#folder);
    const sizes = await Promise.all(
      names.map((name) =>
        stat(this.path(name)).then(
          ({ size }) => size,
          () => 0,
        ),
      ),
    );
    return sizes.reduce((sum, size) => sum + size, 0);
  }
}
