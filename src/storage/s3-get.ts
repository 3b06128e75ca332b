import { type GetObjectCommandOutput } from '@aws-sdk/client-s3';
import { Readable } from 'node:stream';
import { type S3Connection } from './s3-connection.js';
import { S3Fault } from './s3-error.js';
import { plainEtag, type S3Objects } from './s3-objects.js';
import { rangeError } from './storage-error.js';
import { ObjectNotFoundError, type ByteRange, type StoredBody } from './storage-provider.js';
import { storedStream } from './stored-stream.js';

interface Answer {
  chunks: Readable;
  /** As the service writes it, in quotes. */
  etag: string;
  modifiedAt: Date;
  /** Bytes of the whole object; the first and the last one of this answer. */
  size: number;
  start: number;
  end: number;
}

/** Reads objects; goes on where a connection has broken, or was closed while nobody read. */
export class S3Get {
  constructor(
    private readonly connection: S3Connection,
    private readonly objects: S3Objects,
  ) {}

  async run(key: string, range: ByteRange | undefined, aborted: AbortSignal): Promise<StoredBody> {
    if (range?.end !== undefined && range.end < range.start) await this.refuse(key, aborted);
    const ended = new AbortController();
    const signal = AbortSignal.any([aborted, ended.signal]);
    const answer = await this.ask(key, range, undefined, signal);
    const body = storedStream(this.read(key, answer, signal), aborted, () => ended.abort());
    return { body, size: answer.size, etag: plainEtag(answer.etag), modifiedAt: answer.modifiedAt };
  }

  private async *read(key: string, first: Answer, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const { attempts } = this.connection.timing;
    let position = first.start;
    let failures = 0;
    for (let answer = first; position <= first.end;) {
      const end = () => answer.chunks.destroy();
      signal.addEventListener('abort', end, { once: true });
      let fault: unknown = new Error(`the connection ended at byte ${position}, before the end of the object`);
      try {
        for await (const chunk of answer.chunks as AsyncIterable<Buffer>) {
          position += chunk.length;
          failures = 0;
          yield chunk;
        }
      } catch (error) {
        fault = error;
      } finally {
        signal.removeEventListener('abort', end);
        answer.chunks.destroy();
      }
      signal.throwIfAborted();
      if (position > first.end) break;
      failures += 1;
      if (failures >= attempts) throw this.connection.explain(new S3Fault(fault));
      await this.connection.backOff(failures, signal);
      answer = await this.goOn(key, { start: position, end: first.end }, first.etag, signal);
    }
    if (position > first.end + 1) throw this.connection.misbehaved('more bytes came than were asked for');
  }

  private async goOn(key: string, range: ByteRange, etag: string, signal: AbortSignal): Promise<Answer> {
    try {
      return await this.ask(key, range, etag, signal);
    } catch (error) {
      throw this.connection.explain(error);
    }
  }

  private async ask(
    key: string,
    range: ByteRange | undefined,
    etag: string | undefined,
    signal: AbortSignal,
  ): Promise<Answer> {
    const input = {
      ...this.objects.address(key),
      ...(range === undefined ? {} : { Range: `bytes=${range.start}-${range.end ?? ''}` }),
      ...(etag === undefined ? {} : { IfMatch: etag }),
    };
    try {
      const output = await this.connection.send(signal, (s3, options) => s3.getObject(input, options));
      return this.understand(output, range);
    } catch (error) {
      if (!(error instanceof S3Fault)) throw error;
      if (error.service === 'NoSuchKey') throw new ObjectNotFoundError(this.connection.config.name, key);
      if (error.status === 412) throw this.connection.misbehaved('the object was replaced while it was read');
      if (error.status === 416) return this.refuse(key, signal);
      throw error;
    }
  }

  /** A service that does not understand a range answers with everything. */
  private understand(output: GetObjectCommandOutput, range: ByteRange | undefined): Answer {
    const { Body, ETag, LastModified: modifiedAt, ContentLength, ContentRange, $metadata } = output;
    const chunks = Body instanceof Readable ? Body : undefined;
    try {
      const etag = this.objects.requireEtag(ETag, 'object');
      const [, from, to, total] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(ContentRange ?? '') ?? [];
      const partial = range !== undefined;
      const start = partial ? Number(from) : 0;
      const size = partial ? Number(total) : ContentLength;
      const end = partial ? Number(to) : Number(size) - 1;
      const understood = $metadata.httpStatusCode === (partial ? 206 : 200) && start === (range?.start ?? 0);
      if (chunks && understood && modifiedAt && size !== undefined && end < size)
        return { chunks, etag, modifiedAt, size, start, end };
      throw this.connection.misbehaved('the answer is not that of an S3 service: not the bytes that were asked for');
    } catch (error) {
      chunks?.destroy();
      throw error;
    }
  }

  private async refuse(key: string, signal: AbortSignal): Promise<never> {
    const { size } = await this.objects.describe(key, signal);
    throw rangeError(size);
  }
}
