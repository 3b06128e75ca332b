import pg from 'pg';
import { LARGE_PLAN } from './platform-client.mjs';

/** @typedef {{ instance: string, uri: string, database: string, bytes: number }} Tenant */

/**
 * A service instance whose application has filled its database.
 * @param {import('./bench-broker.mjs').BenchBroker} broker
 * @param {import('./platform-client.mjs').PlatformClient} platform
 * @param {string} instance
 * @param {(url: string) => Promise<void>} fill
 * @returns {Promise<Tenant>}
 */
export async function makeTenant(broker, platform, instance, fill) {
  await platform.provision(instance, LARGE_PLAN);
  const { uri, database } = await platform.credentials(instance, 'application', LARGE_PLAN);
  const begun = performance.now();
  await fill(uri);
  const seconds = ((performance.now() - begun) / 1000).toFixed(1);
  const [row] = await asSuperuser(broker, database, 'SELECT pg_database_size(current_database())::text AS bytes');
  const bytes = Number(row?.['bytes']);
  console.log(`filled ${instance} in ${seconds} s: ${Math.round(bytes / 1e6)} MB`);
  return { instance, uri, database, bytes };
}

/** What earlier work left to be written is written now. @param {import('./bench-broker.mjs').BenchBroker} broker */
export async function settle(broker) {
  await asSuperuser(broker, 'postgres', 'CHECKPOINT');
}

/** @param {import('./bench-broker.mjs').BenchBroker} broker @param {string} database @param {string} statement
 * @returns {Promise<Record<string, unknown>[]>} rows */
export async function asSuperuser(broker, database, statement) {
  const client = new pg.Client(broker.superuserUrl(database));
  await client.connect();
  try {
    /** @type {pg.QueryResult<Record<string, unknown>>} */
    const result = await client.query(statement);
    return result.rows;
  } finally {
    await client.end();
  }
}
