import { open } from 'node:fs/promises';
import { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { Injectable } from '@nestjs/common';
import { BrokerError } from '../errors.js';
import { parseList, select, type ArchiveHead, type Selection } from './archive-entries.js';
import { archiveFault, formatFault, HEAD_BYTES, tooLarge } from './archive-faults.js';
import { StatementReader } from './archive-statements.js';
import { startTool, toolOutput, type ToolProcess } from './tool-process.js';
import { PostgresTools } from './tools.js';

const LIST_BYTES = 256 * 1024 * 1024;
/** A table of contents is read in milliseconds; one that takes so long is made to harm. */
const LIST_MS = 120_000;

export interface InspectOptions {
  /** A backup of the same instance: its rights are kept. */
  own: boolean;
  /** Names of the extensions that may be restored; plpgsql always may. */
  allowedExtensions: readonly string[];
  /** Most bytes that the archive may hold when it is unpacked. */
  maxBytes?: number | undefined;
  onProgress?: ((progress: { bytes: number }) => void) | undefined;
  /** What it unpacks to, where it was read through already, by `arriving`. */
  uncompressedBytes?: number | undefined;
}

export interface InspectedArchive extends ArchiveHead, Selection {
  entries: number;
  /** Exact size of what the archive unpacks to, statements included. */
  uncompressedBytes: number;
}

export interface ArrivingArchive {
  /** Takes the archive's bytes; fails as soon as they cannot be an archive's, and ends when all of it was read. */
  sink: Writable;
  /** Bytes that it has unpacked to so far. */
  uncompressedBytes(): number;
}

/** Archives of pg_dump, of whatever origin; none of their statements is executed here. */
@Injectable()
export class Archives {
  constructor(private readonly tools: PostgresTools) {}

  /**
   * Reads an archive through to its end, and chooses what of it is restored.
   * @throws BrokerError archive_invalid, archive_damaged, archive_too_new, or archive_rejected for one that unpacks to
   *   more than `maxBytes`.
   */
  async inspect(file: string, options: InspectOptions, signal: AbortSignal): Promise<InspectedArchive> {
    await this.#assertFormat(file);
    const { head, entries } = await this.#list(file, signal);
    const uncompressedBytes = options.uncompressedBytes ?? (await this.#readThrough(file, options, signal));
    const ruledOut = options.own ? new Map<number, string>() : await this.#readStatements(file, signal);
    const extensions = new Set([...options.allowedExtensions, 'plpgsql']);
    const selection = select(entries, { own: options.own, extensions, ruledOut });
    return { ...head, ...selection, entries: entries.length, uncompressedBytes };
  }

  /** The same reading-through while the bytes arrive. What is restored of it is chosen by `inspect` afterwards. */
  arriving(options: Pick<InspectOptions, 'maxBytes'>, signal: AbortSignal): ArrivingArchive {
    const stopped = new AbortController();
    const tool = this.#start(['--file=-'], AbortSignal.any([signal, stopped.signal]));
    const meter = new Meter(tool, signal, options.maxBytes);
    return { sink: arrivalSink(tool, meter, stopped), uncompressedBytes: () => meter.bytes };
  }

  async #assertFormat(file: string): Promise<void> {
    const handle = await open(file, 'r');
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
      const fault = formatFault(buffer.subarray(0, bytesRead));
      if (fault !== undefined) throw fault;
    } finally {
      await handle.close();
    }
  }

  async #list(file: string, signal: AbortSignal) {
    const limit = AbortSignal.timeout(LIST_MS);
    const options = { env: this.tools.plainEnvironment, signal: AbortSignal.any([signal, limit]) };
    const path = this.tools.path('pg_restore', 'restore_failed');
    const end = await toolOutput(path, ['--list', file], options, LIST_BYTES).catch((error: unknown) => {
      signal.throwIfAborted();
      throw new BrokerError('archive_invalid', "the archive's table of contents cannot be read in time", {
        cause: error,
      });
    });
    if (!end.ok) throw archiveFault(end, { reading: false });
    const list = parseList(end.output);
    if (list.entries.length === 0) throw new BrokerError('archive_invalid', 'the archive holds nothing');
    return list;
  }

  async #readThrough(file: string, options: InspectOptions, signal: AbortSignal): Promise<number> {
    const tool = this.#start(['--file=-', file], signal);
    tool.stdin.end();
    const meter = new Meter(tool, signal, options.maxBytes, options.onProgress);
    await meter.judged;
    return meter.bytes;
  }

  async #readStatements(file: string, signal: AbortSignal): Promise<Map<number, string>> {
    const tool = this.#start(['--schema-only', '--verbose', '--file=-', file], signal);
    tool.stdin.end();
    const reader = new StatementReader();
    tool.stdout.on('data', (chunk: Buffer) => reader.add(chunk));
    await finished(tool.stdout).catch(() => undefined);
    const end = await tool.ended;
    signal.throwIfAborted();
    if (!end.ok) throw archiveFault(end, { reading: true });
    reader.end();
    return reader.ruledOut;
  }

  #start(args: string[], signal: AbortSignal): ToolProcess {
    const env = this.tools.plainEnvironment;
    return startTool(this.tools.path('pg_restore', 'restore_failed'), args, { env, signal });
  }
}

/** Counts what a pg_restore writes, up to the limit. */
class Meter {
  bytes = 0;
  /** Resolves when it has ended well within the limit. */
  readonly judged: Promise<void>;

  constructor(tool: ToolProcess, signal: AbortSignal, maxBytes = Infinity, tell?: InspectOptions['onProgress']) {
    let told = 0;
    tool.stdout.on('data', (chunk: Buffer) => {
      this.bytes += chunk.length;
      if (this.bytes > maxBytes) tool.stop();
      if (tell === undefined || Date.now() - told < 500) return;
      told = Date.now();
      tell({ bytes: this.bytes });
    });
    this.judged = tool.ended.then((end) => {
      signal.throwIfAborted();
      if (this.bytes > maxBytes) throw tooLarge(maxBytes);
      if (!end.ok) throw archiveFault(end, { reading: true });
    });
    this.judged.catch(() => undefined);
  }
}

function arrivalSink(tool: ToolProcess, meter: Meter, stopped: AbortController): Writable {
  let head: Buffer | undefined = Buffer.alloc(0);
  const judge = (then: (error?: Error | null) => void) =>
    void meter.judged.then(
      () => then(),
      (error: Error) => then(error),
    );
  const pass = (chunk: Buffer, then: (error?: Error | null) => void) => {
    // What follows the end of an archive is of no meaning to pg_restore, which is then gone.
    tool.stdin.write(chunk, (error) => (error ? judge(then) : then()));
  };
  return new Writable({
    highWaterMark: 1024 * 1024,
    write(chunk: Buffer, _encoding, then) {
      if (head === undefined) return pass(chunk, then);
      head = Buffer.concat([head, chunk]);
      if (head.length < HEAD_BYTES) return then();
      const fault = formatFault(head);
      const begun = head;
      head = undefined;
      if (fault !== undefined) return then(fault);
      pass(begun, then);
    },
    final(then) {
      const fault = head === undefined ? undefined : formatFault(head);
      if (fault !== undefined) return then(fault);
      tool.stdin.end(head);
      judge(then);
    },
    destroy(error, then) {
      stopped.abort(new Error('the archive was given up'));
      tool.stdout.resume();
      void tool.ended.then(() => then(error));
    },
  });
}
