import { type CompletedPart, type ListPartsCommandOutput } from '@aws-sdk/client-s3';
import { lateSignal } from './late-signal.js';
import { type S3Connection } from './s3-connection.js';
import { S3Fault } from './s3-error.js';
import { plainEtag, type S3Objects } from './s3-objects.js';
import { planParts } from './s3-parts.js';
import { drawMark, type Upload } from './s3-upload-token.js';

export interface StoredPart {
  size: number;
  etag: string;
}

/** An abort waits longer for the end of an upload than for its begin. */
const FAREWELLS = 6;

/** What became of the request that ends an upload: answered, no answer in time, no answer or a passing fault, unknown upload. */
type Ending = { etag: string } | { fault: S3Fault; kind: 'slow' | 'lost' | 'gone' };

/** The requests of multipart uploads. */
export class S3Multipart {
  constructor(
    private readonly connection: S3Connection,
    private readonly objects: S3Objects,
  ) {}

  /** An abort waits for the answer for a while: without its id an upload cannot be cleared away. */
  async begin(key: string, sizeHint: number | undefined, aborted: AbortSignal): Promise<Upload> {
    const mark = drawMark();
    const { signal, release } = lateSignal(aborted, this.connection.timing.farewell);
    try {
      const input = { ...this.objects.address(key), ...this.objects.properties(mark) };
      const { UploadId } = await this.connection.send(signal, (s3, options) =>
        s3.createMultipartUpload(input, options),
      );
      if (!UploadId) throw this.connection.misbehaved('the answer is not that of an S3 service: no id of the upload');
      return { id: UploadId, mark, plan: planParts(sizeHint) };
    } finally {
      release();
    }
  }

  /** The whole parts that are there, by number; undefined where the service knows no such upload. */
  async parts(key: string, { id }: Upload, signal: AbortSignal): Promise<Map<number, StoredPart> | undefined> {
    const found = new Map<number, StoredPart>();
    let marker: string | undefined;
    do {
      const page = await this.pageOfParts(key, id, marker, signal);
      if (page === undefined) return undefined;
      for (const { PartNumber, Size, ETag } of page.Parts ?? [])
        if (PartNumber !== undefined && Size !== undefined && ETag) found.set(PartNumber, { size: Size, etag: ETag });
      marker = page.IsTruncated ? page.NextPartNumberMarker : undefined;
    } while (marker !== undefined);
    return found;
  }

  async sendPart(
    key: string,
    { id }: Upload,
    part: { number: number; bytes: Buffer; md5: Buffer },
    signal: AbortSignal,
  ): Promise<string> {
    const input = {
      ...this.objects.address(key),
      UploadId: id,
      PartNumber: part.number,
      Body: part.bytes,
      ContentMD5: part.md5.toString('base64'),
    };
    const { ETag } = await this.connection.send(signal, (s3, options) => s3.uploadPart(input, options));
    return this.objects.requireEtag(ETag, 'part');
  }

  /**
   * Makes the object of the parts. Resolves only when it is seen to be there: the answer may come before it is, may be
   * lost while it is, or may be a success that was none.
   */
  async complete(key: string, upload: Upload, parts: CompletedPart[], size: number, aborted: AbortSignal) {
    aborted.throwIfAborted();
    const { farewell, assembly, settling, attempts } = this.connection.timing;
    const { signal, release } = lateSignal(aborted, FAREWELLS * farewell);
    try {
      for (let attempt = 1; ; attempt++) {
        const ending = await this.end(key, upload, parts, size, signal);
        const etag = 'etag' in ending ? { etag: ending.etag } : {};
        const patience = 'etag' in ending ? settling : ending.kind === 'slow' ? assembly : 0;
        if (await this.objects.appears(key, { size, mark: upload.mark, ...etag }, signal, patience)) return;
        if ('etag' in ending)
          throw this.connection.misbehaved('the object is not there although its upload was said to be complete');
        if (ending.kind !== 'lost' || attempt >= attempts) throw ending.fault;
        await this.connection.backOff(attempt, signal, ending.fault.raw);
      }
    } finally {
      release();
    }
  }

  /**
   * Removes an upload until it is seen to be gone: a part that was under way may come after the first try.
   * https://docs.aws.amazon.com/AmazonS3/latest/API/API_AbortMultipartUpload.html
   */
  async remove(key: string, upload: Upload, signal: AbortSignal): Promise<void> {
    for (let attempt = 1; attempt <= this.connection.timing.attempts; attempt++) {
      await this.abort(key, upload.id, signal);
      if ((await this.parts(key, upload, signal)) === undefined) return;
      await this.connection.backOff(attempt, signal);
    }
  }

  /** One that is gone is success. */
  async abort(key: string, id: string, signal: AbortSignal): Promise<void> {
    try {
      const input = { ...this.objects.address(key), UploadId: id };
      await this.connection.send(signal, (s3, options) => s3.abortMultipartUpload(input, options));
    } catch (error) {
      if (!(error instanceof S3Fault && error.service === 'NoSuchUpload')) throw error;
    }
  }

  private async end(
    key: string,
    { id }: Upload,
    Parts: CompletedPart[],
    size: number,
    signal: AbortSignal,
  ): Promise<Ending> {
    const input = { ...this.objects.address(key), UploadId: id, MultipartUpload: { Parts }, MpuObjectSize: size };
    try {
      const { ETag } = await this.connection.send(
        signal,
        (s3, options) => s3.completeMultipartUpload(input, options),
        1,
      );
      return { etag: plainEtag(this.objects.requireEtag(ETag, 'upload')) };
    } catch (error) {
      if (!(error instanceof S3Fault)) throw error;
      if (error.service === 'NoSuchUpload') return { fault: error, kind: 'gone' };
      if (!error.transient) throw error;
      return { fault: error, kind: error.timedOut ? 'slow' : 'lost' };
    }
  }

  private async pageOfParts(
    key: string,
    id: string,
    marker: string | undefined,
    signal: AbortSignal,
  ): Promise<ListPartsCommandOutput | undefined> {
    const from = marker === undefined ? {} : { PartNumberMarker: marker };
    const input = { ...this.objects.address(key), UploadId: id, ...from };
    try {
      const page = await this.connection.send(signal, (s3, options) => s3.listParts(input, options));
      this.objects.requireName(page.Bucket);
      return page;
    } catch (error) {
      if (error instanceof S3Fault && error.service === 'NoSuchUpload') return undefined;
      throw error;
    }
  }
}
