import { type CompletedPart } from '@aws-sdk/client-s3';
import { createHash } from 'node:crypto';
import { type Readable } from 'node:stream';
import { BodyReader } from './body-reader.js';
import { lateSignal } from './late-signal.js';
import { type S3Connection } from './s3-connection.js';
import { S3Multipart, type StoredPart } from './s3-multipart.js';
import { plainEtag, type S3Objects } from './s3-objects.js';
import { MOST_PARTS, PartBuffers, partSize, partsInFlight, planParts } from './s3-parts.js';
import { drawMark, parseToken, tokenOf, type Upload } from './s3-upload-token.js';
import { type PutOptions } from './storage-provider.js';

interface Piece {
  buffer: Buffer;
  bytes: Buffer;
}

/** One `put`: what fits into one part goes by one request, anything longer in parts, a few at a time. */
export class S3Put {
  readonly #failed = new AbortController();
  /** Ends the body and all requests, at the caller's abort or at the first failure. */
  readonly #signal: AbortSignal;
  readonly #multipart: S3Multipart;
  readonly #buffers = new PartBuffers();

  constructor(
    private readonly connection: S3Connection,
    private readonly objects: S3Objects,
    private readonly key: string,
    private readonly options: PutOptions,
  ) {
    this.#signal = AbortSignal.any([options.signal, this.#failed.signal]);
    this.#multipart = new S3Multipart(connection, objects);
  }

  async run(body: Readable): Promise<{ size: number }> {
    const reader = new BodyReader(body, this.#signal);
    try {
      const earlier = await this.earlier();
      if (earlier?.whole !== undefined) return await this.compare(reader, earlier.whole);
      const plan = earlier?.upload.plan ?? planParts(this.options.sizeHint);
      const first = await this.read(reader, partSize(plan, 0));
      if (earlier && first.bytes.length > 0) return await this.inParts(earlier.upload, earlier.parts, reader, first);
      if (earlier) await this.clearAway(earlier.upload);
      if (first.bytes.length < first.buffer.length) return await this.atOnce(first.bytes);
      return await this.anew(reader, first);
    } finally {
      reader.close();
    }
  }

  private async atOnce(bytes: Buffer): Promise<{ size: number }> {
    await this.objects.putWhole(this.key, bytes, drawMark(), this.options.signal);
    this.options.onProgress?.(bytes.length);
    return { size: bytes.length };
  }

  /** Until the caller knows the token, a failure removes the upload: nobody else could. */
  private async anew(reader: BodyReader, first: Piece): Promise<{ size: number }> {
    const upload = await this.#multipart.begin(this.key, this.options.sizeHint, this.options.signal);
    let told = false;
    try {
      this.options.signal.throwIfAborted();
      if (this.options.resumable) {
        await this.options.resumable.begun(tokenOf(upload));
        told = true;
      }
      return await this.inParts(upload, new Map(), reader, first);
    } catch (error) {
      if (!told) await this.clearAway(upload);
      throw error;
    }
  }

  private async inParts(
    upload: Upload,
    known: ReadonlyMap<number, StoredPart>,
    reader: BodyReader,
    first: Piece,
  ): Promise<{ size: number }> {
    const { parts, size } = await this.sendAll(upload, known, reader, first);
    await this.#multipart.complete(this.key, upload, parts, size, this.options.signal);
    return { size };
  }

  /** Reads on while parts are being sent; rejects when no request is under way any more. */
  private async sendAll(
    upload: Upload,
    known: ReadonlyMap<number, StoredPart>,
    reader: BodyReader,
    first: Piece,
  ): Promise<{ parts: CompletedPart[]; size: number }> {
    const parts: CompletedPart[] = [];
    // A part that is cut off may still arrive after its upload was removed, and stay for ever: those under way may end.
    const late = lateSignal(this.#signal, this.connection.timing.farewell);
    const sending = new Set<Promise<void>>();
    let size = 0;
    let stored = 0;
    const send = (number: number, { buffer, bytes }: Piece) => {
      const sent = this.sendPart(upload, { number, bytes }, known.get(number), late.signal).then((etag) => {
        parts[number - 1] = { PartNumber: number, ETag: etag };
        stored += bytes.length;
        this.options.onProgress?.(stored);
        this.#buffers.give(buffer);
      });
      sending.add(sent);
      const settle = (error?: unknown) => {
        if (error !== undefined) this.#failed.abort(error);
        else sending.delete(sent);
      };
      sent.then(() => settle(), settle);
    };
    try {
      let piece = first;
      for (let number = 1; piece.bytes.length > 0; number++) {
        if (number > MOST_PARTS) throw this.connection.misbehaved(`the object needs more than ${MOST_PARTS} parts`);
        send(number, piece);
        size += piece.bytes.length;
        if (piece.bytes.length < piece.buffer.length) break;
        while (sending.size >= partsInFlight(piece.buffer.length)) await Promise.race(sending);
        piece = await this.read(reader, partSize(upload.plan, size));
      }
      await Promise.all(sending);
    } catch (error) {
      this.#failed.abort(error);
      await Promise.allSettled(sending);
      throw error;
    } finally {
      late.release();
    }
    return { parts, size };
  }

  /** A part that is there already is compared by its MD5, which is its ETag unless the service encrypts by a key of KMS. */
  private async sendPart(
    upload: Upload,
    { number, bytes }: { number: number; bytes: Buffer },
    known: StoredPart | undefined,
    signal: AbortSignal,
  ): Promise<string> {
    this.#signal.throwIfAborted();
    const md5 = createHash('md5').update(bytes).digest();
    if (known?.size === bytes.length && plainEtag(known.etag) === md5.toString('hex')) return known.etag;
    return this.#multipart.sendPart(this.key, upload, { number, bytes, md5 }, signal);
  }

  private async read(reader: BodyReader, size: number): Promise<Piece> {
    const buffer = this.#buffers.take(size);
    return { buffer, bytes: buffer.subarray(0, await reader.fill(buffer)) };
  }

  /** What the token's process has left: its parts, or the whole object; undefined where there is neither. */
  private async earlier() {
    const upload = parseToken(this.options.resumable?.token ?? '');
    if (!upload) return undefined;
    const parts = await this.#multipart.parts(this.key, upload, this.#signal);
    if (parts) return { upload, parts, whole: undefined };
    const found = await this.objects.find(this.key, upload.mark, this.#signal);
    return found && { upload, parts: new Map<number, StoredPart>(), whole: found.size };
  }

  private async compare(reader: BodyReader, size: number): Promise<{ size: number }> {
    let read = 0;
    for (let piece = await this.read(reader, partSize(planParts(), 0)); piece.bytes.length > 0;) {
      read += piece.bytes.length;
      this.#buffers.give(piece.buffer);
      piece = await this.read(reader, piece.buffer.length);
    }
    if (read !== size)
      throw this.connection.misbehaved(`the upload was completed before with ${size} bytes, not with ${read}`);
    this.options.onProgress?.(size);
    return { size };
  }

  /** The first failure is what the caller hears; what cannot be removed now is swept later. */
  private async clearAway(upload: Upload): Promise<void> {
    const limit = AbortSignal.timeout(this.connection.timing.farewell);
    await this.#multipart.remove(this.key, upload, limit).catch(() => {});
  }
}
