import { Injectable } from '@nestjs/common';
import { type IncomingHttpHeaders } from 'node:http';
import { type Readable } from 'node:stream';
import { BrokerError } from '../errors.js';
import { archiveKey } from '../storage/object-key.js';
import { ObjectNotFoundError, type ByteRange } from '../storage/storage-provider.js';
import { BackupLook } from './backup-look.js';
import { BackupStore } from './backup-store.js';
import { type Backup } from './backup.entity.js';
import { byteRange, namesTag } from './byte-range.js';
import { begun, checkedArchive, notAsRecorded } from './checked-archive.js';

export interface DownloadAsk {
  instanceId: string;
  name: string;
  storage: string | undefined;
  headers: IncomingHttpHeaders;
  /** Only the headers of the answer are wanted. */
  headOnly: boolean;
  /** Aborted when the client has gone. */
  signal: AbortSignal;
}

export interface Download {
  status: 200 | 206 | 304;
  headers: Record<string, string>;
  body?: Readable;
}

/** Archives as they are sent: whole or in part, never other bytes than those of the manifest. */
@Injectable()
export class DownloadService {
  constructor(
    private readonly look: BackupLook,
    private readonly backups: BackupStore,
  ) {}

  /**
   * Conditions and ranges as RFC 9110 says (13.1, 14.2): a `HEAD` has no range.
   * @throws BrokerError `unknown_backup`, `archive_missing`, `archive_damaged`, `precondition_failed`,
   *   `range_not_satisfiable`, storage_*
   */
  async open(ask: DownloadAsk): Promise<Download> {
    const backup = await this.look.find(ask.instanceId, ask.name, ask.storage);
    const headers = headersOf(backup);
    const { 'if-match': match, 'if-none-match': unless } = ask.headers;
    if (match !== undefined && !namesTag(match, headers.etag, 'strong'))
      throw new BrokerError('precondition_failed', `if-match: the archive has the entity tag ${headers.etag}`);
    if (unless !== undefined && namesTag(unless, headers.etag, 'weak')) {
      await this.#assertThere(backup, ask.signal);
      return { status: 304, headers };
    }
    const range = ask.headOnly ? undefined : rangeOf(ask.headers, headers.etag, backup.sizeBytes);
    const { start, end } = range ?? { start: 0, end: backup.sizeBytes - 1 };
    const described = {
      ...headers,
      ...typeOf(backup),
      'content-length': String(end - start + 1),
      ...(range && { 'content-range': `bytes ${start}-${end}/${backup.sizeBytes}` }),
    };
    const status = range === undefined ? 200 : 206;
    if (ask.headOnly) {
      await this.#assertThere(backup, ask.signal);
      return { status, headers: described };
    }
    return { status, headers: described, body: await this.#body(backup, range, ask.signal) };
  }

  async #body(backup: Backup, range: Required<ByteRange> | undefined, signal: AbortSignal): Promise<Readable> {
    const storage = this.look.storageOf(backup);
    const key = archiveKey(backup.instanceId, backup.name);
    const whole = range === undefined || (range.start === 0 && range.end === backup.sizeBytes - 1);
    try {
      const { body, size } = await storage.get(key, { signal, ...(whole ? {} : { range }) });
      if (size !== backup.sizeBytes) {
        body.destroy();
        throw notAsRecorded();
      }
      return whole ? await begun(this.#checked(backup, body)) : body;
    } catch (error) {
      throw await this.#noted(backup, error);
    }
  }

  async *#checked(backup: Backup, body: Readable): AsyncGenerator<Buffer> {
    try {
      yield* checkedArchive(body, backup);
      if (backup.state === 'damaged') await this.backups.mark(backup, 'available');
    } catch (error) {
      throw await this.#noted(backup, error);
    }
  }

  async #assertThere(backup: Backup, signal: AbortSignal): Promise<void> {
    try {
      const { size } = await this.look.storageOf(backup).stat(archiveKey(backup.instanceId, backup.name), signal);
      if (size !== backup.sizeBytes) throw notAsRecorded();
    } catch (error) {
      throw await this.#noted(backup, error);
    }
  }

  /** What a download finds out about a backup, the catalogue remembers. */
  async #noted(backup: Backup, error: unknown): Promise<unknown> {
    if (error instanceof ObjectNotFoundError) {
      const elsewhere = this.look.elsewhere(backup);
      if (elsewhere !== undefined) return elsewhere;
      await this.backups.mark(backup, 'missing');
      return new BrokerError('archive_missing', `the archive has gone from storage ${backup.storage}`);
    }
    if (error instanceof BrokerError && error.code === 'archive_damaged') await this.backups.mark(backup, 'damaged');
    return error;
  }
}

/** The strong entity tag of an archive: its digest. */
export function tagOf({ sha256 }: Pick<Backup, 'sha256'>): string {
  return `"${sha256}"`;
}

function headersOf(backup: Backup) {
  return {
    etag: tagOf(backup),
    'last-modified': backup.createdAt.toUTCString(),
    'accept-ranges': 'bytes',
    'repr-digest': `sha-256=:${Buffer.from(backup.sha256, 'hex').toString('base64')}:`,
  };
}

function typeOf({ instanceId, name }: Backup): Record<string, string> {
  const instance = instanceId.replaceAll(/[^A-Za-z0-9._-]/g, '_').slice(0, 100);
  return {
    'content-type': 'application/octet-stream',
    'content-disposition': `attachment; filename="${instance}-${name}.dump"`,
  };
}

/** A range counts only where the client's copy, if it says so, is of the same bytes. */
function rangeOf(headers: IncomingHttpHeaders, etag: string, size: number): Required<ByteRange> | undefined {
  const condition = headers['if-range'];
  if (condition !== undefined && condition !== etag) return undefined;
  const range = byteRange(headers.range, size);
  if (range !== 'unsatisfiable') return range;
  throw new BrokerError(
    'range_not_satisfiable',
    `range: expected one that starts within the ${size} bytes of the archive`,
    {
      details: { size_bytes: size },
    },
  );
}
