import { BrokerError } from '../errors.js';

const SAYS = {
  storage_unreachable: 'cannot be reached',
  storage_denied: 'denies access',
  storage_missing: 'is not there',
  storage_full: 'is full',
  storage_failed: 'failed',
};

export type StorageErrorCode = keyof typeof SAYS;

/** `message` is the storage's own, free of secrets. */
export function storageError(code: StorageErrorCode, storage: string, message: string, cause?: unknown): BrokerError {
  return new BrokerError(code, `storage ${storage} ${SAYS[code]}: ${message}`, { cause });
}

export function rangeError(size: number): BrokerError {
  return new BrokerError(
    'range_not_satisfiable',
    `expected a range that starts within the ${size} bytes of the object`,
  );
}
