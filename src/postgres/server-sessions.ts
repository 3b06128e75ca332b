import { BrokerError } from '../errors.js';
import { type Connector } from './connector.js';
import { isLost, serverFault, SilenceError } from './server-fault.js';
import { type QueryOptions, type Row, type Session } from './session.js';

const IDLE_MS = 30_000;
/** A silent server is left alone for so long: whoever comes meanwhile is told at once. */
const SILENCE_HOLDS_MS = 2000;
const CLOSE_MS = 5000;

interface Waiter {
  /** Takes a resting maintenance session where there is one. */
  reuses: boolean;
  take(session: Session | undefined): void;
  refuse(error: Error): void;
}

interface Resting {
  session: Session;
  timer: NodeJS.Timeout;
}

/**
 * The broker's sessions on one server, over all its databases: never more than `max` of them, handed out in the order
 * of asking. Work must not wait for a second session while it holds one. Every error is translated for the caller.
 */
export class ServerSessions {
  #open = 0;
  #closing = 0;
  #closed = false;
  #silentUntil = 0;
  #answeredAt = 0;
  readonly #resting: Resting[] = [];
  readonly #queue: Waiter[] = [];

  constructor(
    private readonly server: string,
    private readonly connector: Connector,
    private readonly max: number,
  ) {}

  /** When the server last answered, in the clock of Date.now(). */
  get answeredAt(): number {
    return this.#answeredAt;
  }

  /** Whether a session can be had without waiting. */
  get available(): boolean {
    return this.#queue.length === 0 && (this.#resting.length > 0 || this.#open < this.max);
  }

  /** One text of statements in the maintenance database: one round trip on a session that is kept. */
  query(text: string, options: QueryOptions): Promise<Row[]> {
    return this.maintenance(options.signal, (session) => session.query(text, options));
  }

  maintenance<T>(signal: AbortSignal | undefined, work: (session: Session) => Promise<T>): Promise<T> {
    return this.#with(this.connector, this.connector.target.database, true, signal, work);
  }

  /** A short session in another database, by default as the broker's own role. */
  inDatabase<T>(
    database: string,
    signal: AbortSignal | undefined,
    work: (session: Session) => Promise<T>,
    connector = this.connector,
  ): Promise<T> {
    return this.#with(connector, database, false, signal, work);
  }

  /** Refuses new work, waits a few seconds for what runs. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#refuse(new BrokerError('stopping', 'the broker is stopping'));
    this.#retireResting();
    for (const limit = Date.now() + CLOSE_MS; this.#open > 0 && Date.now() < limit;)
      await new Promise((resolve) => setTimeout(resolve, 10));
  }

  async #with<T>(
    connector: Connector,
    database: string,
    reuses: boolean,
    signal: AbortSignal | undefined,
    work: (session: Session) => Promise<T>,
  ): Promise<T> {
    try {
      const session = (await this.#claim(reuses, signal)) ?? (await this.#connect(connector, database, signal));
      try {
        const result = await work(session);
        this.#answeredAt = Date.now();
        return result;
      } finally {
        if (reuses && session.reusable && !this.#closed) this.#rest(session);
        else this.#retire(session);
      }
    } catch (error) {
      if (error instanceof SilenceError) this.#silence(error);
      if (signal?.aborted && error === signal.reason) throw error;
      throw serverFault(this.server, error);
    }
  }

  async #connect(connector: Connector, database: string, signal: AbortSignal | undefined): Promise<Session> {
    try {
      const session = await connector.open(database, signal);
      this.#answeredAt = Date.now();
      session.onClosed(() => this.#leave(session));
      return session;
    } catch (error) {
      this.#open -= 1;
      // Another login's host may be another one.
      if (isLost(error) && connector === this.connector) this.#refuse(serverFault(this.server, error) as Error);
      this.#serve();
      throw error;
    }
  }

  #claim(reuses: boolean, signal: AbortSignal | undefined): Promise<Session | undefined> {
    signal?.throwIfAborted();
    if (this.#closed) throw new BrokerError('stopping', 'the broker is stopping');
    if (Date.now() < this.#silentUntil) throw serverFault(this.server, new SilenceError('silent a moment ago'));
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#queue.splice(this.#queue.indexOf(waiter), 1);
        reject(signal?.reason as Error);
      };
      const settle = (then: () => void) => {
        signal?.removeEventListener('abort', leave);
        then();
      };
      const waiter: Waiter = {
        reuses,
        take: (session) => settle(() => resolve(session)),
        refuse: (error) => settle(() => reject(error)),
      };
      signal?.addEventListener('abort', leave, { once: true });
      this.#queue.push(waiter);
      this.#serve();
    });
  }

  #serve(): void {
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      const rested = next.reuses ? this.#wake() : undefined;
      if (rested === undefined && this.#open >= this.max) break;
      if (rested === undefined) this.#open += 1;
      this.#queue.shift();
      next.take(rested);
    }
    while (this.#closing < this.#queue.length && this.#resting.length > 0) this.#retireOldest();
  }

  #rest(session: Session): void {
    const timer = setTimeout(() => this.#leave(session), IDLE_MS);
    timer.unref();
    this.#resting.push({ session, timer });
    this.#serve();
  }

  /** The one used last: the server knows its catalogs best. */
  #wake(): Session | undefined {
    for (let last = this.#resting.pop(); last !== undefined; last = this.#resting.pop()) {
      clearTimeout(last.timer);
      if (last.session.reusable) return last.session;
      this.#retire(last.session);
    }
    return undefined;
  }

  #leave(session: Session): void {
    const index = this.#resting.findIndex((resting) => resting.session === session);
    if (index < 0) return;
    this.#resting.splice(index, 1).forEach(({ timer }) => clearTimeout(timer));
    this.#retire(session);
  }

  #retireOldest(): void {
    const oldest = this.#resting.shift();
    if (oldest === undefined) return;
    clearTimeout(oldest.timer);
    this.#retire(oldest.session);
  }

  #retireResting(): void {
    while (this.#resting.length > 0) this.#retireOldest();
  }

  /** Its place is free only when the server has closed it too. */
  #retire(session: Session): void {
    this.#closing += 1;
    void session.close().finally(() => {
      this.#closing -= 1;
      this.#open -= 1;
      this.#serve();
    });
  }

  #silence(error: SilenceError): void {
    this.#silentUntil = Date.now() + SILENCE_HOLDS_MS;
    this.#refuse(serverFault(this.server, error) as Error);
    this.#retireResting();
  }

  #refuse(error: Error): void {
    for (const waiter of this.#queue.splice(0)) waiter.refuse(error);
  }
}
