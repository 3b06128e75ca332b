import { homedir } from 'node:os';
import { join } from 'node:path';

/** A folder outside the checkout, so that a fresh one need not build again what is in it. @param {string} name */
export function userCache(name) {
  const base = process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache');
  return join(base, 'postgresql-broker', `${name}-${process.platform}-${process.arch}`);
}
