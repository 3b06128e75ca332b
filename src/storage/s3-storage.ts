import { type Readable } from 'node:stream';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { type S3StorageConfig } from '../config/storages.js';
import { assertKey, assertKeyPrefix } from './object-key.js';
import { S3Connection } from './s3-connection.js';
import { S3Get } from './s3-get.js';
import { S3Listing } from './s3-listing.js';
import { S3Multipart } from './s3-multipart.js';
import { S3Objects } from './s3-objects.js';
import { S3Put } from './s3-put.js';
import { S3_TIMING, type S3Timing } from './s3-timing.js';
import { parseToken } from './s3-upload-token.js';
import {
  type ByteRange,
  type PutOptions,
  type StorageProvider,
  type StoredBody,
  type StoredObject,
} from './storage-provider.js';

/** A key that `check` begins an upload of; it never becomes an object. */
const PROBE = '_check';

/** Objects of a bucket, at AWS or any service that speaks S3. */
export class S3Storage implements StorageProvider {
  readonly type = 's3';
  readonly ofOneNode = false;
  readonly name: string;
  readonly #connection: S3Connection;
  readonly #objects: S3Objects;
  readonly #multipart: S3Multipart;
  readonly #get: S3Get;
  readonly #listing: S3Listing;

  constructor(config: S3StorageConfig, timing: S3Timing = S3_TIMING) {
    this.name = config.name;
    this.#connection = new S3Connection(config, timing);
    this.#objects = new S3Objects(this.#connection);
    this.#multipart = new S3Multipart(this.#connection, this.#objects);
    this.#get = new S3Get(this.#connection, this.#objects);
    this.#listing = new S3Listing(this.#connection, this.#objects);
  }

  async put(key: string, body: Readable, options: PutOptions): Promise<{ size: number }> {
    try {
      assertKey(key);
      options.signal.throwIfAborted();
    } catch (error) {
      body.destroy();
      throw error;
    }
    return this.guard(() => new S3Put(this.#connection, this.#objects, key, options).run(body));
  }

  async putFile(key: string, file: string, options: PutOptions): Promise<{ size: number; moved: boolean }> {
    assertKey(key);
    options.signal.throwIfAborted();
    const { size: sizeHint } = await stat(file);
    const { size } = await this.put(key, createReadStream(file, { highWaterMark: 1024 * 1024 }), {
      ...options,
      sizeHint,
    });
    return { size, moved: false };
  }

  async discard(token: string, key: string, signal: AbortSignal): Promise<void> {
    assertKey(key);
    const upload = parseToken(token);
    if (upload) await this.guard(() => this.#multipart.remove(key, upload, signal));
  }

  async get(key: string, { range, signal }: { range?: ByteRange; signal: AbortSignal }): Promise<StoredBody> {
    assertKey(key);
    return this.guard(() => this.#get.run(key, range, signal));
  }

  async stat(key: string, signal: AbortSignal): Promise<StoredObject & { etag: string }> {
    assertKey(key);
    return this.guard(() => this.#objects.describe(key, signal));
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<StoredObject> {
    assertKeyPrefix(prefix);
    try {
      yield* this.#listing.objects(prefix, signal);
    } catch (error) {
      throw this.#connection.explain(error);
    }
  }

  async delete(key: string, signal: AbortSignal): Promise<void> {
    assertKey(key);
    await this.guard(() => this.#objects.delete(key, signal));
  }

  /** Begins an upload and gives it up: what writing needs, and nothing to be seen. How much room there is S3 does not tell. */
  async check(signal: AbortSignal): Promise<{ freeBytes?: number }> {
    await this.guard(async () => {
      const { id } = await this.#multipart.begin(PROBE, undefined, signal);
      await this.#multipart.abort(PROBE, id, signal);
    });
    return {};
  }

  async sweep(before: Date, keep: ReadonlySet<string>, signal: AbortSignal): Promise<number> {
    const kept = new Set([...keep].map((token) => parseToken(token)?.id));
    return this.guard(async () => {
      let removed = 0;
      for (const { key, id } of await this.#listing.uploads(PROBE, before, signal)) {
        if (kept.has(id)) continue;
        await this.#multipart.abort(key, id, signal);
        removed += 1;
      }
      return removed;
    });
  }

  close(): void {
    this.#connection.close();
  }

  private async guard<T>(action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } catch (error) {
      throw this.#connection.explain(error);
    }
  }
}
