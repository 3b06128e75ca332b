import { once } from 'node:events';
import { type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { type ConnectionTarget } from './connection-target.js';
import { openSocket, whileAnswering } from './liveness.js';
import { isCollision, SilenceError, SlowError } from './server-fault.js';

/** Work on catalogs; what takes longer than this on a living server is cancelled. */
export const QUICK_MS = 8000;
/** Work whose length depends on the size of things; the caller's signal bounds it. */
export const LONG_MS = 24 * 3600 * 1000;

const CLOSE_MS = 2000;
const COLLISIONS = 10;

/** `CancelRequest` of PostgreSQL's protocol (protocol-message-formats). */
const CANCEL_CODE = 80877102;

export type Row = Record<string, unknown>;

export interface QueryOptions {
  signal?: AbortSignal | undefined;
  limitMs?: number;
}

/** One session on a server: one query at a time, cancelled with its signal, given up when the server goes silent. */
export class Session {
  #spent = false;

  constructor(
    private readonly client: pg.Client,
    private readonly socket: Socket,
    private readonly target: ConnectionTarget,
  ) {
    client.on('error', () => (this.#spent = true));
    socket.once('close', () => (this.#spent = true));
  }

  /** Whether another's query may follow: the session lives, is in no transaction, and no cancel may still arrive. */
  get reusable(): boolean {
    return !this.#spent && this.client.getTransactionStatus() === 'I';
  }

  onClosed(then: () => void): void {
    this.socket.once('close', then);
  }

  /**
   * The rows of the last statement of `text`. Several statements in one text are one transaction. When another
   * session wrote the same catalog row, the whole text is sent again.
   */
  async query(text: string, options: QueryOptions = {}): Promise<Row[]> {
    for (let attempt = 1; ; attempt += 1) {
      options.signal?.throwIfAborted();
      try {
        return await this.#send(text, options);
      } catch (error) {
        if (!isCollision(error) || attempt === COLLISIONS || this.#spent) throw error;
        await delay(Math.random() * 20 * attempt);
      }
    }
  }

  /** Resolves when the server has closed it too, so that what is open never exceeds what is counted. */
  async close(): Promise<void> {
    this.#spent = true;
    if (this.socket.closed) return;
    const limit = setTimeout(() => this.socket.destroy(), CLOSE_MS);
    const closed = once(this.socket, 'close').catch(() => undefined);
    await this.client.end().catch(() => undefined);
    await closed;
    clearTimeout(limit);
  }

  async #send(text: string, { signal, limitMs = QUICK_MS }: QueryOptions): Promise<Row[]> {
    const cancel = () => void this.#cancel();
    signal?.addEventListener('abort', cancel, { once: true });
    try {
      const results: unknown = await whileAnswering(this.target, this.client.query(text), limitMs);
      const last = (Array.isArray(results) ? results.at(-1) : results) as pg.QueryResult<Row>;
      return last.rows;
    } catch (error) {
      if (error instanceof SilenceError) this.#destroy();
      if (error instanceof SlowError) cancel();
      signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener('abort', cancel);
    }
  }

  /** A cancel may arrive later than the query's end: such a session is never used again. */
  async #cancel(): Promise<void> {
    this.#spent = true;
    const { processID, secretKey } = this.client as unknown as { processID: number; secretKey: number };
    const request = Buffer.alloc(16);
    [16, CANCEL_CODE, processID, secretKey].forEach((value, index) => request.writeInt32BE(value, index * 4));
    const socket = openSocket(this.target);
    socket.on('error', () => undefined);
    socket.end(request);
    await delay(CLOSE_MS, undefined, { ref: false });
    socket.destroy();
    this.#destroy();
  }

  #destroy(): void {
    this.#spent = true;
    this.socket.destroy();
  }
}
