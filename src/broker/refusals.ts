import { BrokerError } from '../errors.js';

/**
 * Provision and bind answer a user's mistake with 400: the Cloud Controller takes every 422 whose error word it does
 * not know for a broken broker there, and deletes.
 */
export async function asUserMistake<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof BrokerError && error.code === 'not_supported')
      throw new BrokerError('invalid_request', error.message, { cause: error });
    throw error;
  }
}

export function concurrency(what = 'another operation on this service instance is in progress'): BrokerError {
  return new BrokerError('concurrency', what);
}

/** Adds to a failure what it left (OSB 2.17, Service Broker Errors). */
export function withUsability(
  error: unknown,
  left: { instance_usable?: boolean; update_repeatable?: boolean },
): unknown {
  if (!(error instanceof BrokerError) || error.status === 422) return error;
  const { code, message, cause, details, retryAfter } = error;
  return new BrokerError(code, message, {
    cause,
    details: { ...details, ...left },
    ...(retryAfter !== undefined && { retryAfter }),
  });
}
