import { Client, type ClientConfig } from 'pg';

/** Longest wait for an answer on a connection, in ms: past `statement_timeout`, so the server's own word comes first. */
const ANSWER_LIMIT_MS = 5_000;

/**
 * A connection that is given up when the server does not answer a query in time. The driver's `query_timeout` gives up
 * the query only: the connection goes back to the pool, and the ROLLBACK behind it waits a second time.
 */
export class WatchedClient extends Client {
  #overdue: NodeJS.Timeout | undefined;

  constructor(config?: string | ClientConfig) {
    super(config);
    // The driver's word for "no query is waiting for an answer any more".
    this.on('drain', () => clearTimeout(this.#overdue));
    this.on('end', () => clearTimeout(this.#overdue));
  }

  /** All overloads of the driver at once: arguments and result pass through untouched. */
  override query(...args: never[]): never {
    clearTimeout(this.#overdue);
    this.#overdue = setTimeout(() => this.connection.stream.destroy(), ANSWER_LIMIT_MS);
    const query = super.query.bind(this) as (...args: never[]) => never;
    return query(...args);
  }
}
