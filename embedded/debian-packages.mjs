import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './run.mjs';

const FILES_LEFT_OUT = ['./usr/share/doc', './usr/share/locale', './usr/share/man', './usr/share/lintian'];

/**
 * @typedef {object} Wanted
 * @property {string} name the package that is wanted
 * @property {(name: string) => boolean} keep which of those that it needs beside what is installed are unpacked too
 * @property {readonly string[]} [filesLeftOut] patterns of tar
 */

/** Whether packages can be unpacked on this machine. */
export function canUnpackPackages() {
  return existsSync('/usr/bin/apt-get') && existsSync('/usr/bin/dpkg-deb');
}

/**
 * Unpacks a package of this Debian or Ubuntu, with those that it needs and that are not installed, into a folder of its
 * own: without root, and without touching the system. What the packages would do when they are installed is not done.
 * @param {string} root made anew; everybody may pass and read
 * @param {Wanted} wanted
 * @param {AbortSignal} signal
 */
export async function unpackPackages(root, wanted, signal) {
  mkdirSync(root);
  openFolder(root);
  const work = mkdtempSync(`${root}.packages-`);
  try {
    const archives = join(work, 'archives');
    await download(work, archives, wanted, signal);
    for (const archive of readdirSync(archives).filter((name) => name.endsWith('.deb')))
      await unpack(join(archives, archive), root, work, wanted.filesLeftOut ?? [], signal);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Lets everybody pass and read, whatever the umask. @param {string} folder */
export function openFolder(folder) {
  chmodSync(folder, statSync(folder).mode | 0o055);
}

/**
 * The folders of libraries in what was unpacked, for LD_LIBRARY_PATH.
 * @param {string} root
 * @param {string} [shown] how `root` is written
 */
export function libraryPath(root, shown = root) {
  const architectures = readdirSync(join(root, 'usr', 'lib')).filter((name) => name.includes('-linux-'));
  return architectures.flatMap((name) => [`${shown}/usr/lib/${name}`, `${shown}/lib/${name}`]).join(':');
}

/** The system's own lists serve where they are filled and fresh; else private ones are fetched.
 * @param {string} work @param {string} archives @param {Wanted} wanted @param {AbortSignal} signal */
async function download(work, archives, wanted, signal) {
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
    const packages = await neededPackages(options, wanted, signal);
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

/** @param {string[]} options @param {Wanted} wanted @param {AbortSignal} signal */
async function neededPackages(options, { name, keep }, signal) {
  const listed = await apt(options, ['install', '--print-uris', '-qq', '--no-install-recommends', name], '/', signal);
  const names = listed.split('\n').flatMap((line) => /^'[^']+' ([^_ ]+)_/.exec(line)?.[1] ?? []);
  const packages = names.filter(keep);
  if (packages.length === 0) throw new Error(`the package lists name nothing of ${name}`);
  return packages;
}

/** @param {string[]} options @param {string[]} args @param {string} cwd @param {AbortSignal} signal */
function apt(options, args, cwd, signal) {
  const env = { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' };
  return run('apt-get', [...options.flatMap((option) => ['-o', option]), ...args], { cwd, env, signal });
}

/** @param {string} archive @param {string} root @param {string} work @param {readonly string[]} leftOut @param {AbortSignal} signal */
async function unpack(archive, root, work, leftOut, signal) {
  const excludes = [...FILES_LEFT_OUT, ...leftOut].map((pattern) => `--exclude=${pattern}`);
  // By a file between: in a pipe of plain sh the first program's failure would go unseen.
  const script =
    'umask 022; tar="$1/data.tar"; root=$3; dpkg-deb --fsys-tarfile "$2" > "$tar"; shift 3; tar -x -f "$tar" -C "$root" "$@"';
  await run('sh', ['-ec', script, 'unpack', work, archive, root, ...excludes], { signal });
  rmSync(join(work, 'data.tar'), { force: true });
}
