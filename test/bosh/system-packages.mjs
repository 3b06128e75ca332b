import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { run } from '../../embedded/run.mjs';

/** What a stemcell has, or stands in for a part of BOSH: programs (or headers) and the package of Debian and Ubuntu. */
const NEEDED = [
  ['ruby', 'ruby'],
  ['monit', 'monit'],
  ['logrotate', 'logrotate'],
  ['curl', 'curl'],
  ['gcc', 'build-essential'],
  ['make', 'build-essential'],
  ['bison', 'bison'],
  ['flex', 'flex'],
  ['bzip2', 'bzip2'],
  ['pkg-config', 'pkg-config'],
  ['/usr/include/readline/readline.h', 'libreadline-dev'],
  ['/usr/include/openssl/ssl.h', 'libssl-dev'],
  ['/usr/include/uuid/uuid.h', 'uuid-dev'],
  ['/usr/include/zlib.h', 'zlib1g-dev'],
  ['/usr/include/unicode/ucol.h', 'libicu-dev'],
  ['/usr/include/zstd.h', 'libzstd-dev'],
  ['/usr/include/lz4.h', 'liblz4-dev'],
];

/**
 * Installs what is missing, as root on Debian or Ubuntu.
 * @param {import('../../embedded/steps.mjs').Steps} steps @param {AbortSignal} signal
 */
export async function installSystemPackages(steps, signal) {
  const missing = missingPackages();
  if (process.getuid?.() !== 0)
    throw new Error(
      'the life of the jobs can be emulated by root only (users, mount namespaces): run it as root, in a container for example',
    );
  if (missing.length === 0) return;
  if (!existsSync('/usr/bin/apt-get'))
    throw new Error(`install, in whatever form this system has them: ${missing.join(' ')}`);
  await steps.step(`install ${missing.join(' ')}`, async () => {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' };
    const install = ['install', '--yes', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=300', ...missing];
    await run('apt-get', install, { env, signal }).catch(async () => {
      signal.throwIfAborted();
      await run('apt-get', ['update', '-o', 'APT::Update::Error-Mode=any'], { env, signal });
      await run('apt-get', install, { env, signal });
    });
  });
  const left = missingPackages();
  if (left.length > 0) throw new Error(`not there after it was installed: ${left.join(' ')}`);
}

function missingPackages() {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  const isThere = (/** @type {string} */ wanted) =>
    wanted.startsWith('/') ? existsSync(wanted) : folders.some((folder) => existsSync(join(folder, wanted)));
  const missing = NEEDED.filter(([wanted]) => !isThere(/** @type {string} */ (wanted)));
  return [...new Set(missing.map(([, name]) => /** @type {string} */ (name)))];
}
