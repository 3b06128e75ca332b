import { cpSync, existsSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../../embedded/run.mjs';
import { boshRun } from './bosh-run.js';
import { releaseFaults } from './release-faults.js';

const { bosh, release, tarball, folder, packages } = boshRun();

describe('the release', () => {
  it('holds every job and every package', async () => {
    const listed = (await run('tar', ['-tzf', tarball])).split('\n').map((name) => name.replace('./', ''));
    for (const job of ['postgres-broker', 'postgres', 'register-broker', 'deregister-broker', 'smoke-tests'])
      expect(listed).toContain(`jobs/${job}.tgz`);
    for (const name of ['node-24', 'postgres-15', 'postgres-broker']) expect(listed).toContain(`packages/${name}.tgz`);
  });

  it('gets the same fingerprints when it is made again from the same files', async () => {
    const again = join(folder, 'again.tgz');
    await run(bosh, [
      '--non-interactive',
      'create-release',
      `--dir=${release}`,
      '--force',
      '--version=0.0.2',
      `--tarball=${again}`,
    ]);
    const fingerprints = async (file: string) =>
      [...(await run('tar', ['-xzOf', file, 'release.MF'])).matchAll(/fingerprint: (\S+)/g)].map(([, each]) => each);
    expect(await fingerprints(again)).toEqual(await fingerprints(tarball));
    rmSync(again);
  });

  it('has none of the faults that bosh accepts', async () => {
    expect(await releaseFaults(release)).toEqual([]);
  });
});

describe('a fault that bosh accepts is found', () => {
  const broken = join(folder, 'broken');
  const job = (...path: string[]) => join(broken, 'jobs', 'postgres-broker', ...path);

  beforeEach(() => {
    // The blobs and the application play no part, and are large.
    const light = (source: string) =>
      !/\/(blobs|src)\/.*\/|\.(dev_builds|final_builds)/.test(source.slice(release.length));
    cpSync(release, broken, { recursive: true, filter: light });
  });
  afterEach(() => rmSync(broken, { recursive: true, force: true }));

  const edit = (file: string, from: string, to: string) => {
    const text = readFileSync(file, 'utf8');
    if (!text.includes(from)) throw new Error(`${file} has no ${from}`);
    writeFileSync(file, text.replace(from, to));
  };

  it.each([
    [
      'an undeclared property',
      /undeclared.*http\.prot/,
      () => edit(job('templates', 'health.sh.erb'), "p('http.port')", "p('http.prot')"),
    ],
    ['broken ERB', /drain\.sh\.erb/, () => edit(job('templates', 'drain.sh.erb'), 'raise ', 'end raise ')],
    ['a job without monit file', /postgres-broker: no monit file/, () => rmSync(job('monit'))],
    ['a template that is not listed', /forgotten\.erb/, () => writeFileSync(job('templates', 'forgotten.erb'), '')],
    ['a link that leads nowhere', /leads nowhere/, () => symlinkSync('/nowhere', join(broken, 'src', 'link'))],
    [
      'a property without description',
      /data_dir: no description/,
      () => edit(job('spec'), 'description: Folder for what', 'summary: Folder for what'),
    ],
    [
      'a secret with a default',
      /admin\.credentials: a secret has no default/,
      () => edit(job('spec'), '  admin.credentials:\n', '  admin.credentials:\n    default: []\n'),
    ],
  ])('%s', async (_, message, breakIt) => {
    breakIt();
    expect((await releaseFaults(broken)).join('\n')).toMatch(message);
  });

  it('a blob that is another file', async () => {
    const { addBlobs } = await import('../../bosh-release/scripts/blobs.mjs');
    const blobs = join(broken, 'config', 'blobs.yml');
    writeFileSync(
      blobs,
      readFileSync(blobs, 'utf8')
        .replaceAll(/^(\s+sha: sha256:)\w+$/gm, `$1${'0'.repeat(64)}`)
        .replaceAll(/^node.*\n.*\n.*\n/gm, ''),
    );
    edit(blobs, 'postgresql-15.18', 'postgresql-15.0');
    const steps = { say: () => undefined, step: <T>(_: string, work: () => T) => Promise.resolve(work()) };
    await expect(addBlobs(steps, AbortSignal.timeout(120_000), broken)).rejects.toThrow(
      /postgresql-15\.0\.tar\.bz2 cannot be had/,
    );
  });
});

describe('the compiled packages', () => {
  it('run', async () => {
    expect(await run(join(packages, 'node-24', 'bin', 'node'), ['--version'])).toMatch(/^v24\./);
    const version = await run(join(packages, 'postgres-15', 'bin', 'postgres'), ['--version']);
    expect(version).toMatch(/PostgreSQL\) 15\./);
  });

  it('hold the extensions that plans may offer', async () => {
    const { TRUSTED_EXTENSIONS } = await import('../../src/config/default-catalog.js');
    const there = readdirSync(join(packages, 'postgres-15', 'share', 'extension'));
    expect(TRUSTED_EXTENSIONS.filter((name) => !there.includes(`${name}.control`))).toEqual([]);
  });

  it('hold an application without native modules, and without what only developers need', async () => {
    const application = join(packages, 'postgres-broker');
    expect(await run('find', [application, '-mindepth', '1', '(', '-name', '*.node', '-o', '-type', 'l', ')'])).toBe(
      '',
    );
    expect(existsSync(join(application, 'node_modules', 'fastify'))).toBe(true);
    expect(existsSync(join(application, 'node_modules', 'jest'))).toBe(false);
  });
});
