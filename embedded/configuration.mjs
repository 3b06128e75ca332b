import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { DIST } from './project.mjs';

/** @typedef {import('../src/config/schema.js').BrokerConfig} BrokerConfig */
/** @typedef {typeof import('../src/config/load.js')} ConfigModule */
/** @typedef {typeof import('../src/config/data-folder.js')} DataFolderModule */

/** BSD's EX_CONFIG, as the broker's own. */
export const EXIT_CONFIGURATION = 78;

/** The broker's own reading of its configuration, as built. @returns {Promise<ConfigModule>} */
export async function configModule() {
  return /** @type {ConfigModule} */ (await built('load.js'));
}

/** The broker's own making of its data folder, as built. @returns {Promise<DataFolderModule>} */
export async function dataFolderModule() {
  return /** @type {DataFolderModule} */ (await built('data-folder.js'));
}

/** @param {string} file @returns {Promise<unknown>} */
function built(file) {
  return import(pathToFileURL(join(DIST, 'config', file)).href);
}
