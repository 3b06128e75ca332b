import { type ListMultipartUploadsCommandOutput } from '@aws-sdk/client-s3';
import { isKey, parseKey } from './object-key.js';
import { type S3Connection } from './s3-connection.js';
import { type S3Objects } from './s3-objects.js';
import { type StoredObject } from './storage-provider.js';

/** What lies below our prefix. */
export class S3Listing {
  constructor(
    private readonly connection: S3Connection,
    private readonly bucket: S3Objects,
  ) {}

  async *objects(prefix: string, signal: AbortSignal): AsyncGenerator<StoredObject> {
    const from = this.bucket.address(prefix);
    let token: string | undefined;
    do {
      // Other programs' keys may hold characters that XML cannot.
      const input = {
        Bucket: from.Bucket,
        Prefix: from.Key,
        EncodingType: 'url' as const,
        ...(token === undefined ? {} : { ContinuationToken: token }),
      };
      const page = await this.connection.send(signal, (s3, options) => s3.listObjectsV2(input, options));
      this.bucket.requireName(page.Name);
      for (const { Key = '', Size: size, LastModified: modifiedAt } of page.Contents ?? []) {
        const key = this.ownKey(Key);
        if (key !== undefined && isKey(key) && size !== undefined && modifiedAt) yield { key, size, modifiedAt };
      }
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
      if (page.IsTruncated && token === undefined)
        throw this.connection.misbehaved('the answer is not that of an S3 service: a list without its continuation');
    } while (token !== undefined);
  }

  /** Uploads that never ended and began before the time: of backups, or of the probe; others' are left alone. */
  async uploads(probe: string, before: Date, signal: AbortSignal): Promise<{ key: string; id: string }[]> {
    const found: { key: string; id: string }[] = [];
    let marker: string | undefined;
    do {
      const page = await this.pageOfUploads(marker, signal);
      for (const { Key = '', UploadId: id, Initiated: begun } of page.Uploads ?? []) {
        const key = this.ownKey(Key);
        const ours = key !== undefined && (key === probe || parseKey(key) !== undefined);
        if (ours && id && begun && begun < before) found.push({ key, id });
      }
      // Not every service knows a marker within the uploads of one key: what such a page leaves out comes next time.
      marker = page.IsTruncated ? page.NextKeyMarker : undefined;
    } while (marker !== undefined);
    return found;
  }

  private async pageOfUploads(
    marker: string | undefined,
    signal: AbortSignal,
  ): Promise<ListMultipartUploadsCommandOutput> {
    const { Bucket, Key: Prefix } = this.bucket.address('');
    const input = { Bucket, Prefix, ...(marker === undefined ? {} : { KeyMarker: marker }) };
    const page = await this.connection.send(signal, (s3, options) => s3.listMultipartUploads(input, options));
    this.bucket.requireName(page.Bucket);
    return page;
  }

  private ownKey(encoded: string): string | undefined {
    const { prefix } = this.connection.config;
    // Our own keys are the same in either form; a key that cannot be decoded is not one of them.
    const key = encoded.replaceAll('%2F', '/').replaceAll('%2f', '/');
    return key.startsWith(prefix) ? key.slice(prefix.length) : undefined;
  }
}
