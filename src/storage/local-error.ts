import { BrokerError } from '../errors.js';
import { asError } from './as-error.js';
import { storageError, type StorageErrorCode } from './storage-error.js';

const CODES: Readonly<Record<string, StorageErrorCode>> = {
  ENOSPC: 'storage_full',
  EDQUOT: 'storage_full',
  EFBIG: 'storage_full',
  EACCES: 'storage_denied',
  EPERM: 'storage_denied',
  EROFS: 'storage_denied',
  ESTALE: 'storage_unreachable',
  ETIMEDOUT: 'storage_unreachable',
  EHOSTDOWN: 'storage_unreachable',
  EHOSTUNREACH: 'storage_unreachable',
  ENOTCONN: 'storage_unreachable',
};

/** What an error of the file system says about the storage. */
export function localError(storage: string, error: unknown): BrokerError {
  if (error instanceof BrokerError) return error;
  const { code = '' } = asError(error);
  return storageError(CODES[code] ?? 'storage_failed', storage, messageOf(error), error);
}

/** Without the paths, which stand at its end: where the broker keeps things is not for everybody. The cause has them. */
export function messageOf(error: unknown): string {
  const { message, syscall } = asError(error);
  const beforePaths = syscall === undefined ? undefined : message.split(`, ${syscall} `, 1)[0];
  return beforePaths === undefined || beforePaths === message ? message : `${beforePaths}, ${syscall}`;
}
