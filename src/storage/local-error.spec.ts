import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { BrokerError } from '../errors.js';
import { localError } from './local-error.js';

const missing = join(import.meta.dirname, "a folder's, open ", 'no such file');

it.each<[string, () => Promise<unknown>, string]>([
  ['one file', () => open(missing), 'ENOENT: no such file or directory, open'],
  ['two files', () => rename(missing, `${missing} 2`), 'ENOENT: no such file or directory, rename'],
  [
    'no file',
    () => Promise.reject(Object.assign(new Error('ENOSPC: no space left on device, write'), { syscall: 'write' })),
    'ENOSPC: no space left on device, write',
  ],
])('names no path where an error is about %s', async (_what, action, says) => {
  const cause: unknown = await action().catch((error: unknown) => error);
  const error = localError('disk', cause);
  expect(error).toBeInstanceOf(BrokerError);
  expect(error.message).toMatch(/^storage disk /);
  expect(error.message.endsWith(`: ${says}`)).toBe(true);
  expect(error.cause).toBe(cause);
});
