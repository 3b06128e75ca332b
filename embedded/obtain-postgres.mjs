import { canUnpackPackages } from './debian-packages.mjs';
import { fetchedBin, fetchPostgres } from './fetch-postgres.mjs';
import { findPostgres } from './find-postgres.mjs';
import { underLock } from './lock.mjs';
import { postgresCache } from './project.mjs';

/** @typedef {import('./find-postgres.mjs').Postgres} Postgres */

const NONE =
  'there is no PostgreSQL 15 or newer: install it (Debian, Ubuntu: postgresql; Fedora: postgresql-server; macOS: brew install postgresql@17) or set PG_BINDIR to the folder of its programs';

/**
 * The PostgreSQL to use: an installed one, else one fetched into the cache folder.
 * @param {NodeJS.ProcessEnv} env
 * @param {import('./steps.mjs').Steps} steps
 * @param {AbortSignal} signal
 * @returns {Promise<Postgres>}
 */
export async function obtainPostgres(env, steps, signal) {
  const cache = postgresCache();
  const find = () => findPostgres(env, [fetchedBin(cache)]);
  const found = find();
  if (found) return found;
  if (!canUnpackPackages()) throw new Error(NONE);
  const onWait = () => steps.say('another start or test run fetches PostgreSQL: waiting for it');
  return underLock(`${cache}/lock`, onWait, async () => {
    if (!find())
      await steps.step('fetch PostgreSQL from the packages of this system', () => fetchPostgres(cache, signal));
    const fetched = find();
    if (!fetched) throw new Error(`the PostgreSQL fetched into ${cache} does not run; ${NONE}`);
    return fetched;
  });
}
