import { createReadStream, writeSync } from 'node:fs';

/** @typedef {typeof import('../../src/storage/s3-storage.js')} StorageModule */
/** @typedef {typeof import('../../src/config/secret.js')} SecretModule */
/** @typedef {import('../../src/config/storages.js').S3StorageConfig & { secret_access_key: string }} Settings */

/**
 * Another process that uploads a file: argv holds a configuration as JSON, a key, the file, and the token to go on from.
 * Writes a line of JSON for what happens, and is there to be killed in the middle.
 */
async function upload([settings = '', key = '', file = '', token = ''] = process.argv.slice(2)) {
  const storageModule = /** @type {unknown} */ (await import(built('storage/s3-storage.js')));
  const secretModule = /** @type {unknown} */ (await import(built('config/secret.js')));
  const { S3Storage } = /** @type {StorageModule} */ (storageModule);
  const { Secret } = /** @type {SecretModule} */ (secretModule);
  const parsed = /** @type {unknown} */ (JSON.parse(settings));
  const config = /** @type {Settings} */ (parsed);
  const storage = new S3Storage({ ...config, secret_access_key: new Secret(config.secret_access_key) });
  const { size } = await storage.put(key, createReadStream(file), {
    signal: new AbortController().signal,
    onProgress: (bytes) => tell({ bytes }),
    resumable: { ...(token ? { token } : {}), begun: (begun) => Promise.resolve(tell({ token: begun })) },
  });
  tell({ size });
}

/** @param {string} path of a module that the build has made */
function built(path) {
  return new URL(`../../dist/${path}`, import.meta.url).href;
}

/** @param {object} what */
function tell(what) {
  writeSync(1, `${JSON.stringify(what)}\n`);
}

await upload();
