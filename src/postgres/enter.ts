import { setTimeout as delay } from 'node:timers/promises';
import { BrokerError } from '../errors.js';
import { type Connector } from './connector.js';
import { codeOf } from './server-fault.js';
import { type Server } from './server.js';
import { type Session } from './session.js';

const FULL_TRIES = 10;
const FULL_PAUSE_MS = 300;

/** A session in a tenant's database. Where the tenant has taken every connection, waits a little for a free one. */
export async function enter<T>(
  server: Server,
  database: string,
  signal: AbortSignal,
  work: (session: Session) => Promise<T>,
  connector?: Connector,
): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await server.sessions.inDatabase(database, signal, work, connector);
    } catch (error) {
      const cause = error instanceof BrokerError ? error.cause : error;
      if (codeOf(cause) !== '53300') throw error;
      if (tries === FULL_TRIES)
        throw new BrokerError(
          'concurrency',
          'every connection that the plan allows is in use: close some and try again',
          {
            cause,
            retryAfter: 5,
          },
        );
    }
    await delay(FULL_PAUSE_MS, undefined, { signal });
  }
}
