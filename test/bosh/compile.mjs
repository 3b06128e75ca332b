import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { underLock } from '../../embedded/lock.mjs';
import { run } from '../../embedded/run.mjs';
import { userCache } from '../../embedded/user-cache.mjs';

/** Compiled packages that are kept: the others are copied files. */
const KEPT = new Set(['postgres-15']);

/**
 * Does for every package of the release what BOSH does on a compilation VM, into `packages`/NAME.
 * @param {string} tarball @param {string} folder @param {string} packages
 * @param {import('../../embedded/steps.mjs').Steps} steps @param {AbortSignal} signal
 */
export async function compilePackages(tarball, folder, packages, steps, signal) {
  const unpacked = join(folder, 'unpacked');
  for (const each of [unpacked, packages]) mkdirSync(each);
  await run('tar', ['-xzf', tarball, '-C', unpacked], { signal });
  for (const archive of readdirSync(join(unpacked, 'packages'))) {
    const name = archive.replace(/\.tgz$/, '');
    const source = join(unpacked, 'packages', archive);
    const target = join(packages, name);
    if (!KEPT.has(name)) await compile(name, source, target, signal);
    else cpSync(await kept(name, source, steps, signal), target, { recursive: true, verbatimSymlinks: true });
  }
}

/** @param {string} name @param {string} source @param {import('../../embedded/steps.mjs').Steps} steps @param {AbortSignal} signal */
async function kept(name, source, steps, signal) {
  const place = userCache(`bosh-${name}-${await inputs(source, signal)}`);
  const compiled = join(place, 'compiled');
  const onWait = () => steps.say(`another run compiles ${name}: waiting for it`);
  if (!existsSync(compiled))
    await underLock(join(place, 'lock'), onWait, async () => {
      if (existsSync(compiled)) return;
      const fresh = join(mkdtempSync(join(place, 'new-')), name);
      try {
        await steps.step(`compile ${name}`, () => compile(name, source, fresh, signal));
        renameSync(fresh, compiled);
      } finally {
        rmSync(dirname(fresh), { recursive: true, force: true });
      }
    });
  return compiled;
}

/** Of what is compiled, and with what. @param {string} source @param {AbortSignal} signal */
async function inputs(source, signal) {
  const hash = createHash('sha256');
  // The files of the package, not its tarball, which holds times.
  hash.update(
    await run(
      'sh',
      [
        '-ec',
        'd=$(mktemp -d); tar -xzf "$1" -C "$d"; cd "$d"; find . -type f -print0 | sort -z | xargs -0 sha256sum; rm -rf "$d"',
        'sh',
        source,
      ],
      { signal },
    ),
  );
  hash.update(await run('gcc', ['--version'], { signal }));
  hash.update(
    await run(
      'sh',
      [
        '-c',
        'for l in openssl icu-i18n liblz4 libzstd zlib readline; do echo $l $(pkg-config --modversion $l 2>/dev/null); done; getconf GNU_LIBC_VERSION',
      ],
      { signal },
    ),
  );
  hash.update(readFileSync('/etc/os-release'));
  return hash.digest('hex').slice(0, 16);
}

/**
 * Where a package is at the time it is used: a mount namespace of its own makes it /var/vcap/packages/NAME. Without a
 * network, as packaging must not need one.
 * @param {string} name @param {string} source @param {string} target @param {AbortSignal} signal
 */
async function compile(name, source, target, signal) {
  const work = mkdtempSync(`${target}.work-`);
  try {
    mkdirSync(target, { recursive: true });
    // An empty folder that stays: other namespaces may have mounted there.
    mkdirSync('/var/vcap', { recursive: true });
    const script = `
      set -eu
      mkdir "$1/vcap" "$1/vcap/packages" "$1/vcap/packages/$4" "$1/compile"
      mount --make-rprivate /
      mount --bind "$1/vcap" /var/vcap
      mount --bind "$3" "/var/vcap/packages/$4"
      tar -xzf "$2" -C "$1/compile"
      cd "$1/compile"
      export BOSH_PACKAGE_NAME="$4" BOSH_COMPILE_TARGET="$PWD" BOSH_INSTALL_TARGET="/var/vcap/packages/$4"
      exec bash -e packaging`;
    await run('unshare', ['--mount', '--net', 'nice', 'sh', '-c', script, 'compile', work, source, target, name], {
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root', LANG: 'C.UTF-8' },
      signal,
    });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
