import { type HeadObjectCommandOutput } from '@aws-sdk/client-s3';
import { createHash } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { lateSignal } from './late-signal.js';
import { type S3Connection } from './s3-connection.js';
import { S3Fault } from './s3-error.js';
import { ObjectNotFoundError } from './storage-provider.js';

/** User metadata of what we have written; a service keeps its key in lower case. */
const MARK = 'upload';
const LONGEST_PAUSE = 2_000;

export interface Expected {
  size: number;
  mark: string;
  /** As the service answered it; absent where no answer came. */
  etag?: string;
}

/** Whole objects of one bucket. */
export class S3Objects {
  constructor(private readonly connection: S3Connection) {}

  /** Bucket and key of every request on an object. */
  address(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.connection.config.bucket, Key: this.connection.config.prefix + key };
  }

  /** What every new object is given. */
  properties(mark: string) {
    const { storage_class, server_side_encryption, kms_key_id } = this.connection.config;
    return {
      ContentType: 'application/octet-stream',
      Metadata: { [MARK]: mark },
      ...(storage_class === undefined ? {} : { StorageClass: storage_class as 'STANDARD' }),
      ...(server_side_encryption === undefined ? {} : { ServerSideEncryption: server_side_encryption }),
      ...(kms_key_id === undefined ? {} : { SSEKMSKeyId: kms_key_id }),
    };
  }

  /**
   * Stores an object by one request. From its first byte on an abort waits for the answer for a while: what the service
   * has by then cannot be called back.
   */
  async putWhole(key: string, bytes: Buffer, mark: string, aborted: AbortSignal): Promise<void> {
    aborted.throwIfAborted();
    const { signal, release } = lateSignal(aborted, this.connection.timing.farewell);
    try {
      const input = {
        ...this.address(key),
        ...this.properties(mark),
        Body: bytes,
        ContentMD5: createHash('md5').update(bytes).digest('base64'),
      };
      const { ETag } = await this.connection.send(signal, (s3, options) => s3.putObject(input, options));
      const etag = this.requireEtag(ETag, 'object');
      if (!(await this.appears(key, { size: bytes.length, mark, etag }, signal)))
        throw this.connection.misbehaved('the object is not there although its upload succeeded');
    } finally {
      release();
    }
  }

  /** What answers success without an ETag is no S3 service. */
  requireEtag(etag: string | undefined, what: string): string {
    if (etag) return etag;
    throw this.connection.misbehaved(`the answer is not that of an S3 service: no ETag for the ${what}`);
  }

  /** Undefined where there is no such object, or no such bucket: the answer does not tell. */
  async head(key: string, signal: AbortSignal): Promise<HeadObjectCommandOutput | undefined> {
    try {
      return await this.connection.send(signal, (s3, options) => s3.headObject(this.address(key), options));
    } catch (error) {
      if (error instanceof S3Fault && error.status === 404) return undefined;
      throw error;
    }
  }

  /** The size of the object where it bears the mark. */
  async find(key: string, mark: string, signal: AbortSignal): Promise<{ size: number } | undefined> {
    const found = await this.head(key, signal);
    if (found?.Metadata?.[MARK] !== mark || found.ContentLength === undefined) return undefined;
    return { size: found.ContentLength };
  }

  /** Whether what was written is what is there, asked again until the milliseconds have passed. */
  async appears(key: string, expected: Expected, signal: AbortSignal, patience = 0): Promise<boolean> {
    const begun = Date.now();
    for (let wait = 100; ; wait = Math.min(wait * 2, LONGEST_PAUSE)) {
      const found = await this.head(key, signal);
      if (found && isExpected(found, expected)) return true;
      if (Date.now() - begun >= patience) return false;
      await pause(wait, undefined, { signal }).catch(() => {});
      signal.throwIfAborted();
    }
  }

  /** @throws ObjectNotFoundError */
  async describe(key: string, signal: AbortSignal) {
    const found = await this.head(key, signal).catch(async (error: unknown) => {
      // Answers to HEAD have no body: why it was refused is asked by another request.
      if (error instanceof S3Fault && error.status === 403) await this.requireBucket(signal);
      throw error;
    });
    if (found === undefined) {
      await this.requireBucket(signal);
      throw new ObjectNotFoundError(this.connection.config.name, key);
    }
    const etag = this.requireEtag(found.ETag, 'object');
    const { ContentLength: size, LastModified: modifiedAt } = found;
    if (size === undefined || modifiedAt === undefined)
      throw this.connection.misbehaved('the answer is not that of an S3 service: no size or time of the object');
    return { key, size, modifiedAt, etag: plainEtag(etag) };
  }

  async delete(key: string, signal: AbortSignal): Promise<void> {
    const { $metadata } = await this.connection.send(signal, (s3, options) =>
      s3.deleteObject(this.address(key), options),
    );
    if ($metadata.httpStatusCode !== 204 && (await this.head(key, signal)))
      throw this.connection.misbehaved('the object is still there although it was said to be deleted');
  }

  /** @throws S3Fault that says why the bucket cannot be used */
  private async requireBucket(signal: AbortSignal): Promise<void> {
    const Bucket = this.connection.config.bucket;
    const { Name } = await this.connection.send(signal, (s3, options) =>
      s3.listObjectsV2({ Bucket, MaxKeys: 1, Prefix: this.connection.config.prefix }, options),
    );
    this.requireName(Name);
  }

  /** Other servers answer a list with a page that reads as an empty one. */
  requireName(name: string | undefined): void {
    if (name !== this.connection.config.bucket)
      throw this.connection.misbehaved('the answer is not that of an S3 service: no list of the bucket');
  }
}

/** Services write ETags in quotes. */
export function plainEtag(etag: string): string {
  return etag.replaceAll('"', '');
}

function isExpected(found: HeadObjectCommandOutput, { size, mark, etag }: Expected): boolean {
  if (found.ContentLength !== size || !found.ETag) return false;
  const foundMark = found.Metadata?.[MARK];
  // A service that drops metadata can still be judged by the ETag that it answered.
  return foundMark === undefined ? etag !== undefined && plainEtag(etag) === plainEtag(found.ETag) : foundMark === mark;
}
