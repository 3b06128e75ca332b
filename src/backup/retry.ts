import { setTimeout as pause } from 'node:timers/promises';
import { BrokerError } from '../errors.js';
import { SpoolDamagedError } from './spool-reading.js';

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;

export interface RetryOptions {
  /** When to give up, by the clock. */
  until: Date;
  signal: AbortSignal;
  /** Before each pause. */
  waiting(error: BrokerError, nextTryAt: Date): Promise<void>;
  /** Before each further try. */
  again(tries: number): Promise<void>;
}

/**
 * Tries until it succeeds, with pauses that double up to a minute, half of each drawn at random.
 * @throws the signal's reason; after `until` the last error; at once what a further try cannot help
 */
export async function retried<T>(work: (tries: number) => Promise<T>, options: RetryOptions): Promise<T> {
  const { signal, until } = options;
  for (let tries = 1; ; tries++) {
    try {
      return await work(tries);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof BrokerError) || error instanceof SpoolDamagedError) throw error;
      const left = until.getTime() - Date.now();
      if (left <= 0) throw givenUp(error, tries);
      const wait = Math.min(pauseAfter(tries), left);
      await options.waiting(error, new Date(Date.now() + wait));
      await pause(wait, undefined, { signal });
      await options.again(tries + 1);
    }
  }
}

function pauseAfter(tries: number): number {
  const longest = Math.min(FIRST_PAUSE_MS * 2 ** Math.min(tries - 1, 20), LONGEST_PAUSE_MS);
  return longest * (0.5 + Math.random() / 2);
}

function givenUp(error: BrokerError, tries: number): BrokerError {
  return new BrokerError(error.code, `${error.message} (given up after ${tries} tries)`, { cause: error });
}
