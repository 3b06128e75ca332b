import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { libraryPath, openFolder, unpackPackages } from './debian-packages.mjs';
import { CACHE } from './project.mjs';

/** What the server itself does without: just-in-time compilation, Debian's own tooling, translations. */
const LEFT_OUT = /^(libllvm|libz3|libc-l10n)|-perl$/;
const PACKAGES = {
  name: 'postgresql',
  keep: (/** @type {string} */ name) => /^(postgresql-(client-)?\d+|lib.*)$/.test(name) && !LEFT_OUT.test(name),
  filesLeftOut: ['*/bitcode', '*/llvmjit*'],
};

const PROGRAMS = 'usr/lib/postgresql';

/** The programs' folder of a PostgreSQL that fetchPostgres has left in the cache. @param {string} cache */
export function fetchedBin(cache) {
  return join(cache, 'current', 'bin');
}

/**
 * Unpacks PostgreSQL from the packages of this Debian or Ubuntu into the cache folder. The programs in its `bin` find
 * their libraries by themselves.
 * @param {string} cache
 * @param {AbortSignal} signal
 */
export async function fetchPostgres(cache, signal) {
  mkdirSync(cache, { recursive: true });
  // Its programs are run by another user where this is root.
  if (dirname(cache) === CACHE) openFolder(CACHE);
  openFolder(cache);
  const work = mkdtempSync(join(cache, 'fetch-'));
  try {
    const root = join(work, 'root');
    await unpackPackages(root, PACKAGES, signal);
    if (!existsSync(join(root, PROGRAMS))) throw new Error('the package lists name no postgresql');
    writeWrappers(root);
    rmSync(join(cache, 'current'), { recursive: true, force: true });
    renameSync(root, join(cache, 'current'));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Scripts that run each program with the unpacked libraries, wherever the folder is moved. @param {string} root */
function writeWrappers(root) {
  const [major] = readdirSync(join(root, PROGRAMS));
  const programs = join(PROGRAMS, major ?? '', 'bin');
  mkdirSync(join(root, 'bin'), { recursive: true });
  openFolder(join(root, 'bin'));
  const libraries = libraryPath(root, '$root');
  for (const program of readdirSync(join(root, programs))) {
    const wrapper = join(root, 'bin', program);
    rmSync(wrapper, { force: true });
    writeFileSync(
      wrapper,
      `#!/bin/sh
root=$(cd "$(dirname "$0")/.." && pwd) || exit 1
LD_LIBRARY_PATH="${libraries}\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" exec "$root/${programs}/${program}" "$@"
`,
    );
    chmodSync(wrapper, 0o755);
  }
}
