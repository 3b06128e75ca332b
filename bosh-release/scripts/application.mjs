import { createHash } from 'node:crypto';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { npmInstall } from '../../embedded/install.mjs';
import { underLock } from '../../embedded/lock.mjs';
import { DIST, PROJECT } from '../../embedded/project.mjs';
import { userCache } from '../../embedded/user-cache.mjs';
import { RELEASE } from './places.mjs';

/** What the broker never reads. Licences are kept, whatever their ending. */
const NOT_RUN = /^(?!licen[sc]e|notice|copying).*\.(map|[cm]?ts|md|markdown)$/i;

/**
 * Puts the built application with what it needs to run, and nothing that has to be compiled, into `src/`: bosh packs what
 * lies there, and would pack a link as one that leads nowhere.
 * @param {import('../../embedded/steps.mjs').Steps} steps
 * @param {AbortSignal} signal
 * @param {string} [release] its folder
 */
export async function vendorApplication(steps, signal, release = RELEASE) {
  const place = join(release, 'src', 'postgres-broker');
  rmSync(place, { recursive: true, force: true });
  mkdirSync(place, { recursive: true });
  cpSync(await productionPackages(steps, signal), join(place, 'node_modules'), { recursive: true });
  cpSync(DIST, join(place, 'dist'), { recursive: true });
  for (const file of ['package.json', 'LICENSE']) copyFileSync(join(PROJECT, file), join(place, file));
  refuseOthers(place);
}

/** Of package-lock.json, installed once. @param {import('../../embedded/steps.mjs').Steps} steps @param {AbortSignal} signal */
async function productionPackages(steps, signal) {
  const lock = readFileSync(join(PROJECT, 'package-lock.json'));
  const cache = userCache(`bosh-npm-${createHash('sha256').update(lock).digest('hex').slice(0, 16)}`);
  const packages = join(cache, 'node_modules');
  const onWait = () => steps.say('another run installs the packages of the release: waiting for it');
  await underLock(join(cache, 'lock'), onWait, async () => {
    if (existsSync(packages)) return;
    const work = mkdtempSync(join(cache, 'new-'));
    try {
      for (const file of ['package.json', 'package-lock.json']) copyFileSync(join(PROJECT, file), join(work, file));
      await steps.step('install the packages of the release', () =>
        npmInstall(['--omit=dev', '--omit=optional'], work, signal),
      );
      renameSync(join(work, 'node_modules'), packages);
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  });
  return packages;
}

/** Removes what is not run. @param {string} place @throws where something is left that may not be there */
function refuseOthers(place) {
  const refused = prune(place).map((path) => relative(dirname(place), path));
  if (refused.length > 0)
    throw new Error(`the application may hold neither native modules nor links: ${refused.join(', ')}`);
}

/** @param {string} folder @returns {string[]} what is neither a folder nor a file that runs everywhere */
function prune(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    // npm's own notes, and links to programs that nothing calls.
    if (entry.name.startsWith('.') || NOT_RUN.test(entry.name)) {
      rmSync(path, { recursive: true });
      return [];
    }
    if (entry.isDirectory()) return prune(path);
    return entry.isFile() && !entry.name.endsWith('.node') ? [] : [path];
  });
}
