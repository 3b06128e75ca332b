import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { DIST } from './project.mjs';

/** @typedef {import('../src/config/schema.js').BrokerConfig} BrokerConfig */
/** @typedef {typeof import('../src/config/load.js')} ConfigModule */

/** BSD's EX_CONFIG, as the broker's own. */
export const EXIT_CONFIGURATION = 78;

/** The broker's own reading of its configuration, as built. @returns {Promise<ConfigModule>} */
export async function configModule() {
  /** @type {unknown} */
  const loaded = await import(pathToFileURL(join(DIST, 'config', 'load.js')).href);
  return /** @type {ConfigModule} */ (loaded);
}
