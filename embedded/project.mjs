import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { serverUserReaches } from './server-user.mjs';

/** The checkout that this file is part of. */
export const PROJECT = dirname(dirname(fileURLToPath(import.meta.url)));
export const DIST = join(PROJECT, 'dist');
/** What can be made again at any time, beside node_modules and dist. */
export const CACHE = join(PROJECT, '.cache');
/** Held while node_modules or dist are made anew. */
export const CHECKOUT_LOCK = join(CACHE, 'lock');

const OLDEST_NODE = /** @type {const} */ ([24, 15]);

/** Where a fetched PostgreSQL is kept: for root, whose PostgreSQL runs as another user, where that user can read it. */
export function postgresCache() {
  return serverUserReaches(PROJECT) ? join(CACHE, 'postgresql') : '/var/cache/postgresql-broker';
}

/** The Node that runs the broker and the tools: the one of package-lock.json, whatever Node runs this script. */
export function projectNode() {
  const packaged = join(PROJECT, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node');
  if (existsSync(packaged)) return packaged;
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1])) return process.execPath;
  throw new Error(
    `there is no packaged node for ${process.platform} ${process.arch}: expected node ${OLDEST_NODE.join('.')} or newer, this is ${process.versions.node}`,
  );
}
