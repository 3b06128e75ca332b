import { type Readable } from 'node:stream';
import { BrokerError } from '../errors.js';

export interface StoredObject {
  key: string;
  /** Bytes. */
  size: number;
  modifiedAt: Date;
}

export interface PutOptions {
  signal: AbortSignal;
  /** About how many bytes will come: a storage that knows that it has less room rejects before it reads any. */
  sizeHint?: number;
  /** Told how many bytes of the object the storage has so far; never falls. */
  onProgress?: (bytes: number) => void;
  /** Makes an upload that another process can go on with, where the provider has such uploads. */
  resumable?: ResumableUpload;
}

/**
 * Once `begun` has resolved, neither a failure nor an abort removes what was uploaded: the same `put` with the token
 * goes on from it, `discard` gives it up. A provider without such uploads, or a body that one request holds, never
 * calls `begun`, and leaves nothing behind. The body of the put that goes on is the whole object, from its first byte;
 * what is there already is compared, not trusted. A token that the storage no longer knows starts anew, and `begun` is
 * told the new one.
 */
interface ResumableUpload {
  token?: string;
  begun(token: string): Promise<void>;
}

/** From byte `start` to byte `end`, both included as in HTTP; without `end`, or with one past the last byte: to the end. */
export interface ByteRange {
  start: number;
  end?: number;
}

export interface StoredBody {
  /** Must be read to its end or destroyed. Its errors are those of `get`. It never ends short of what was asked for. */
  body: Readable;
  /** Bytes of the whole object, whatever the range. */
  size: number;
  /** Differs once the object was replaced. Without quotes. */
  etag: string;
  modifiedAt: Date;
}

/**
 * Where archives and manifests are kept. Keys are those of object-key.ts; others reject with `invalid_request` before
 * anything is touched.
 *
 * Every call rejects with a `BrokerError` - `storage_unreachable`, `storage_denied`, `storage_missing`, `storage_full`,
 * `storage_failed` - that carries the storage's own message and no secret; with `ObjectNotFoundError`; or, where its
 * signal was aborted, with the signal's reason. A service that does not answer is found out within 60 seconds; a mounted
 * file system that hangs only its mount options can end.
 * What was put is seen by every call that begins afterwards.
 */
export interface StorageProvider {
  readonly name: string;
  readonly type: 'local' | 's3';
  /** Only the broker node that stored an object reaches it. */
  readonly ofOneNode: boolean;

  /**
   * Stores the whole body. Nothing is visible until it resolves; an abort, or a body that fails, leaves what was there
   * before and nothing else, and rejects with the body's own error. The body is destroyed unless it was read to its end.
   * A key that is taken is replaced. Of several writers of one key at least one resolves, and the object is that of one
   * of them, whole: a writer may reject because another's object is there instead of its own.
   */
  put(key: string, body: Readable, options: PutOptions): Promise<{ size: number }>;

  /** Gives up a resumable upload and removes what it has left. One that is gone already is success. */
  discard(token: string, key: string, signal: AbortSignal): Promise<void>;

  /**
   * As `put`, from a finished file. `moved` tells that the file itself became the object; else it is left where it is.
   */
  putFile(key: string, file: string, options: PutOptions): Promise<{ size: number; moved: boolean }>;

  /**
   * Rejects with ObjectNotFoundError before any byte flows, and with `range_not_satisfiable` where the range starts past
   * the last byte. A connection that breaks is taken up again where it broke, as long as the object is the same.
   */
  get(key: string, options: { range?: ByteRange; signal: AbortSignal }): Promise<StoredBody>;

  /** Rejects with ObjectNotFoundError. */
  stat(key: string, signal: AbortSignal): Promise<StoredObject & { etag: string }>;

  /** Every object whose key starts with the text, sorted by key; what was not put by a provider may be left out. */
  list(prefix: string, signal: AbortSignal): AsyncIterable<StoredObject>;

  /** An object that is not there is success. */
  delete(key: string, signal: AbortSignal): Promise<void>;

  /** Resolves when objects can be written now; leaves nothing. Free bytes where they are known. */
  check(signal: AbortSignal): Promise<{ freeBytes?: number }>;

  /**
   * Removes what writers that died have left, only where providers leave such things, and resolves with how many.
   * What began at or after `before` stays, and so do the uploads of the tokens in `keep`.
   */
  sweep(before: Date, keep: ReadonlySet<string>, signal: AbortSignal): Promise<number>;

  /** Ends idle connections. */
  close(): void;
}

/** The object is not there. */
export class ObjectNotFoundError extends BrokerError {
  constructor(
    storage: string,
    readonly key: string,
  ) {
    super('archive_missing', `storage ${storage} has no object ${key}`);
  }
}
