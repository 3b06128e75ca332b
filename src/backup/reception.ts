import { randomUUID } from 'node:crypto';
import { type IncomingMessage } from 'node:http';
import { type Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { Injectable } from '@nestjs/common';
import { BrokerError } from '../errors.js';
import { type Measured, type SpoolFile } from './spool-file.js';

/** A sender that is silent for so long is given up, in ms. */
const SILENCE_MS = 60_000;

export interface Arrival {
  body: IncomingMessage;
  /** Asks for the body: nothing may be sent before. */
  accept: () => void;
  maxBytes: number;
  /** Of `Content-Length`. */
  announced?: number | undefined;
  /** Of the caller, in hexadecimal. */
  sha256?: string | undefined;
}

/** The body of one upload, from the call that brings it to the operation that takes it, both in this process. */
export class Reception {
  readonly id = randomUUID();
  /** Resolves when nothing of the body is wanted any more. */
  readonly ended: Promise<void>;
  #end!: () => void;

  constructor(readonly arrival: Arrival) {
    this.ended = new Promise((resolve) => (this.#end = resolve));
  }

  /**
   * The whole body into the file and, at the same time, through the check.
   * @throws BrokerError too_large, digest_mismatch, timed_out for a sender that is silent, invalid_request where the
   *   connection breaks, spool_full; the error of the check; the signal's reason
   */
  async take(file: SpoolFile, check: Writable, tell: (bytes: number) => void, signal: AbortSignal): Promise<Measured> {
    const { body, accept, maxBytes, sha256 } = this.arrival;
    check.on('error', () => undefined);
    try {
      signal.throwIfAborted();
      const arriving = pump(body, signal, async (chunk) => {
        if (file.size + chunk.length > maxBytes) throw tooLarge(maxBytes);
        await Promise.all([file.write(chunk), written(check, chunk)]);
        tell(file.size);
      });
      accept();
      await arriving;
      check.end();
      await finished(check);
      signal.throwIfAborted();
      const measured = await file.finish();
      if (sha256 !== undefined && sha256 !== measured.sha256) throw mismatch(sha256, measured.sha256);
      return measured;
    } catch (error) {
      check.destroy();
      await file.abandon(error instanceof Error ? error : new Error(String(error)));
      throw error;
    } finally {
      this.end();
    }
  }

  end(): void {
    this.#end();
  }
}

/** Bodies that are waited for in this process. */
@Injectable()
export class Receptions {
  readonly #open = new Map<string, Reception>();

  open(arrival: Arrival): Reception {
    const reception = new Reception(arrival);
    this.#open.set(reception.id, reception);
    return reception;
  }

  /** Undefined where the call came to a process that is gone. */
  take(id: string): Reception | undefined {
    const reception = this.#open.get(id);
    this.#open.delete(id);
    return reception;
  }

  close(reception: Reception): void {
    this.#open.delete(reception.id);
    reception.end();
  }
}

export function tooLarge(maxBytes: number): BrokerError {
  return new BrokerError('too_large', `body: expected at most ${maxBytes} bytes`, { details: { max_bytes: maxBytes } });
}

/** The request is not destroyed, whatever happens: its connection must still carry the answer. */
async function pump(body: IncomingMessage, signal: AbortSignal, take: (chunk: Buffer) => Promise<void>): Promise<void> {
  const stop = new AbortController();
  const silence = setTimeout(
    () => stop.abort(new BrokerError('timed_out', `body: nothing came for ${SILENCE_MS / 1000} s`)),
    SILENCE_MS,
  );
  const either = AbortSignal.any([signal, stop.signal]);
  let taking = Promise.resolve();
  const listeners = new AbortController();
  try {
    await new Promise<void>((resolve, reject) => {
      const broken = () =>
        reject(new BrokerError('invalid_request', 'the connection broke before the whole body came'));
      const listen = (event: string, listener: (chunk: Buffer) => void) => {
        body.on(event, listener);
        listeners.signal.addEventListener('abort', () => body.off(event, listener));
      };
      either.addEventListener('abort', () => reject(asError(either.reason)), { signal: listeners.signal });
      listen('data', (chunk) => {
        body.pause();
        silence.refresh();
        taking = take(chunk);
        taking.then(
          () => void (either.aborted || body.resume()),
          (error: unknown) => reject(asError(error)),
        );
      });
      listen('end', () => void taking.then(resolve, reject));
      listen('error', broken);
      listen('close', () => void (body.complete || broken()));
      if (body.destroyed && !body.complete) broken();
    });
  } finally {
    clearTimeout(silence);
    listeners.abort();
    body.on('error', () => undefined);
    body.pause();
    await taking.catch(() => undefined);
  }
}

function written(sink: Writable, chunk: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    sink.write(chunk, (error) => (error ? reject(error) : resolve()));
  });
}

function mismatch(expected: string, found: string): BrokerError {
  return new BrokerError('digest_mismatch', `the body has the sha-256 ${found}, not ${expected} as its digest says`);
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
