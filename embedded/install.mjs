import { existsSync } from 'node:fs';
import { basename, delimiter, join } from 'node:path';
import { readJson } from './files.mjs';
import { PROJECT } from './project.mjs';
import { run } from './run.mjs';

/** @typedef {{ version?: string, optional?: boolean, devOptional?: boolean, link?: boolean }} Entry */

/** Whether node_modules holds what package-lock.json asks for. npm writes its own list last, so a broken installation has none. */
export function isInstalled() {
  const wanted = readPackages(join(PROJECT, 'package-lock.json'));
  const installed = readPackages(join(PROJECT, 'node_modules', '.package-lock.json'));
  if (!wanted || !installed) return false;
  return Object.entries(wanted).every(([path, entry]) => {
    const there = installed[path];
    if (path === '') return true;
    // Packages for other platforms are left out.
    return there ? there.version === entry.version : entry.optional === true;
  });
}

/** Installs the packages of package-lock.json. @param {AbortSignal} signal */
export function install(signal) {
  return npmInstall(['--include=dev', '--include=optional'], PROJECT, signal);
}

/**
 * Installs, in a folder, what the package-lock.json there asks for. No package's script runs.
 * @param {readonly string[]} which kinds of packages
 * @param {string} folder
 * @param {AbortSignal} signal
 */
export async function npmInstall(which, folder, signal) {
  const npm = process.env['npm_execpath'];
  const node = process.env['npm_node_execpath'] ?? process.execPath;
  const ours = npm !== undefined && basename(npm) === 'npm-cli.js' && existsSync(npm);
  const args = ['ci', '--ignore-scripts', ...which, '--no-audit', '--no-fund', '--loglevel=error'];
  await run(ours ? node : 'npm', ours ? [npm, ...args] : args, { cwd: folder, env: withoutProjectBins(), signal });
}

/** npm must not run by the Node in node_modules that it is about to delete. */
function withoutProjectBins() {
  const own = join(PROJECT, 'node_modules', '.bin');
  const path = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== own);
  return { ...process.env, PATH: path.join(delimiter) };
}

/** @param {string} file @returns {Record<string, Entry> | undefined} */
function readPackages(file) {
  try {
    const parsed = /** @type {{ packages?: Record<string, Entry> }} */ (readJson(file));
    return parsed.packages;
  } catch {
    return undefined;
  }
}
