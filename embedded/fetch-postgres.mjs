import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { CACHE } from './project.mjs';
import { run } from './run.mjs';

/** What the server itself does without: just-in-time compilation, Debian's own tooling, translations. */
const LEFT_OUT = /^(libllvm|libz3|libc-l10n)|-perl$/;
const FILES_LEFT_OUT = [
  '*/bitcode',
  '*/llvmjit*',
  './usr/share/doc',
  './usr/share/locale',
  './usr/share/man',
  './usr/share/lintian',
];

/** Whether PostgreSQL can be fetched on this machine. */
export function canFetch() {
  return existsSync('/usr/bin/apt-get') && existsSync('/usr/bin/dpkg-deb');
}

/** The programs' folder of a PostgreSQL that fetchPostgres has left in the cache. @param {string} cache */
export function fetchedBin(cache) {
  return join(cache, 'current', 'bin');
}

/**
 * Unpacks PostgreSQL from the packages of this Debian or Ubuntu into the cache folder, without root and without
 * touching the system. The programs in its `bin` find their libraries by themselves.
 * @param {string} cache
 * @param {AbortSignal} signal
 */
export async function fetchPostgres(cache, signal) {
  mkdirSync(cache, { recursive: true });
  // Its programs are run by another user where this is root.
  if (dirname(cache) === CACHE) openFolder(CACHE);
  openFolder(cache);
  const work = mkdtempSync(join(cache, 'fetch-'));
  openFolder(work);
  try {
    const archives = join(work, 'archives');
    await download(work, archives, signal);
    const root = join(work, 'root');
    mkdirSync(root);
    openFolder(root);
    for (const archive of readdirSync(archives).filter((name) => name.endsWith('.deb')))
      await unpack(join(archives, archive), root, work, signal);
    writeWrappers(root);
    rmSync(join(cache, 'current'), { recursive: true, force: true });
    renameSync(root, join(cache, 'current'));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Lets everybody pass and read, whatever the umask. @param {string} folder */
function openFolder(folder) {
  chmodSync(folder, statSync(folder).mode | 0o055);
}

/** The system's own lists serve where they are filled and fresh; else private ones are fetched.
 * @param {string} work @param {string} archives @param {AbortSignal} signal */
async function download(work, archives, signal) {
  const cacheOptions = [
    `Dir::Cache=${work}`,
    'Dir::Cache::pkgcache=',
    'Dir::Cache::srcpkgcache=',
    'APT::Sandbox::User=root',
  ];
  const privateOptions = [
    ...cacheOptions,
    `Dir::State=${work}`,
    'Dir::State::status=/var/lib/dpkg/status',
    'Acquire::Languages=none',
    'Acquire::GzipIndexes=true',
    // Else a mirror that cannot be reached would count as success.
    'APT::Update::Error-Mode=any',
  ];
  const fetchWith = async (/** @type {string[]} */ options) => {
    rmSync(archives, { recursive: true, force: true });
    mkdirSync(archives);
    const packages = await neededPackages(options, signal);
    await apt(options, ['download', ...packages], archives, signal);
  };
  try {
    await fetchWith(cacheOptions);
  } catch {
    signal.throwIfAborted();
    mkdirSync(join(work, 'lists', 'partial'), { recursive: true });
    await apt(privateOptions, ['update'], work, signal);
    await fetchWith(privateOptions);
  }
}

/** @param {string[]} options @param {AbortSignal} signal */
async function neededPackages(options, signal) {
  const listed = await apt(
    options,
    ['install', '--print-uris', '-qq', '--no-install-recommends', 'postgresql'],
    '/',
    signal,
  );
  const names = listed.split('\n').flatMap((line) => /^'[^']+' ([^_ ]+)_/.exec(line)?.[1] ?? []);
  const packages = names.filter((name) => /^(postgresql-(client-)?\d+|lib.*)$/.test(name) && !LEFT_OUT.test(name));
  if (!packages.some((name) => /^postgresql-\d+$/.test(name))) throw new Error('the package lists name no postgresql');
  return packages;
}

/** @param {string[]} options @param {string[]} args @param {string} cwd @param {AbortSignal} signal */
function apt(options, args, cwd, signal) {
  const env = { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' };
  return run('apt-get', [...options.flatMap((option) => ['-o', option]), ...args], { cwd, env, signal });
}

/** @param {string} archive @param {string} root @param {string} work @param {AbortSignal} signal */
async function unpack(archive, root, work, signal) {
  const excludes = FILES_LEFT_OUT.map((pattern) => `--exclude=${pattern}`);
  // By a file between: in a pipe of plain sh the first program's failure would go unseen.
  const script =
    'umask 022; tar="$1/data.tar"; root=$3; dpkg-deb --fsys-tarfile "$2" > "$tar"; shift 3; tar -x -f "$tar" -C "$root" "$@"';
  await run('sh', ['-ec', script, 'unpack', work, archive, root, ...excludes], { signal });
  rmSync(join(work, 'data.tar'), { force: true });
}

/** Scripts that run each program with the unpacked libraries, wherever the folder is moved. @param {string} root */
function writeWrappers(root) {
  const [major] = readdirSync(join(root, 'usr', 'lib', 'postgresql'));
  const programs = join('usr', 'lib', 'postgresql', major ?? '', 'bin');
  mkdirSync(join(root, 'bin'), { recursive: true });
  openFolder(join(root, 'bin'));
  const architectures = readdirSync(join(root, 'usr', 'lib')).filter((name) => name.includes('-linux-'));
  const libraries = architectures.flatMap((name) => [`$root/usr/lib/${name}`, `$root/lib/${name}`]).join(':');
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
