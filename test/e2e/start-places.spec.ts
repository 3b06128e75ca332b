import { appendFileSync, cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { PROJECT } from '../../embedded/project.mjs';
import { serverUser, serverUserReaches } from '../../embedded/server-user.mjs';
import { run } from '../../embedded/run.mjs';
import { paste } from '../support/paste.js';
import {
  curlLines,
  expectGone,
  npmStart,
  processesOf,
  secretsOf,
  type Starter,
  temporaryFolder,
} from '../support/starter.js';
import { until } from '../support/until.js';

let checkout: string;
let starter: Starter;

/** A copy of this checkout, built, in a path that no unquoted shell word survives and that is too long for a socket. */
async function copyCheckout(): Promise<string> {
  const copy = join(
    await temporaryFolder(),
    "it's a folder",
    'so-long-that-the-path-of-a-unix-socket-in-it-does-not-fit-into-107-bytes',
    'broker',
  );
  mkdirSync(copy, { recursive: true });
  for (const name of [
    'package.json',
    'package-lock.json',
    'nest-cli.json',
    'tsconfig.json',
    'tsconfig.build.json',
    'src',
    'embedded',
    'dist',
  ])
    if (existsSync(join(PROJECT, name))) cpSync(join(PROJECT, name), join(copy, name), { recursive: true });
  const modules = join(PROJECT, 'node_modules');
  if (serverUserReaches(modules)) symlinkSync(modules, join(copy, 'node_modules'));
  else await run('cp', ['-a', modules, copy]);
  return copy;
}

beforeAll(async () => {
  checkout = await copyCheckout();
});

describe('npm run dev in a path with spaces', () => {
  // It builds the sources twice.
  it('starts, and after a change of the sources starts anew', async () => {
    starter = await npmStart({ cwd: checkout, dataDir: '', command: ['npm', 'run', 'dev'] });
    await starter.ready();
    const dataDir = join(checkout, '.data');
    const before = processesOf(dataDir);
    const main = join(checkout, 'src', 'main.ts');
    const good = readFileSync(main, 'utf8');
    writeFileSync(main, `${good}const wrong: number = 'text';\n`);
    await until('the fault', () => starter.output().includes('TS2322'), { limitMs: 100_000 });
    expect(stripVTControlCharacters(starter.output())).toBe(starter.output());
    writeFileSync(main, good);
    await until('the good news', () => starter.output().includes('the sources are again as they were built'));
    expect(processesOf(dataDir)).toEqual(before);
    appendFileSync(main, '// one more line\n');
    await expectGone({ broker: before.broker });
    await until('the second broker', () => (starter.output().match(/Ctrl-C ends it/g) ?? []).length === 2, {
      limitMs: 100_000,
    });
    const after = processesOf(dataDir);
    expect(after.postgres).toEqual(before.postgres);
    expect(after.starter).toEqual(before.starter);
    expect(await paste(curlLines(starter.output())[1])).toMatchObject({ operations: [] });
    expect(await starter.stop('SIGTERM')).toBe(0);
    await expectGone(after);
  }, 300_000);
});

describe('npm start in a terminal', () => {
  it('shows the passwords too, readable logs, and ends at Ctrl-C with exit code 0', async () => {
    const dataDir = join(await temporaryFolder(), 'data');
    // Some shells run a command as a child and end by Ctrl-C themselves.
    starter = await npmStart({ dataDir, command: ['script', '-qefc', 'exec npm start', '/dev/null'], terminal: true });
    await starter.ready();
    const [platform = '', admin = ''] = secretsOf(dataDir);
    expect(starter.output()).toContain(platform);
    expect(starter.output()).toContain(admin);
    expect(starter.output()).not.toMatch(/^\{"level"/m);
    expect(starter.output()).toMatch(/start the broker …\r?\n/);
    const processes = processesOf(dataDir);
    starter.child.stdin?.write('\x03');
    expect(await starter.ended).toBe(0);
    await expectGone(processes);
  });
});

describe('npm start as an unprivileged user', () => {
  it('keeps everything in the data folder, mode 0700', async () => {
    const { uid, gid } = serverUser();
    const dataDir = join(await temporaryFolder(), 'data');
    let command = ['npm', 'start'];
    if (uid !== undefined && gid !== undefined) {
      // As root: become another user, who owns the copy.
      await run('chown', ['-R', `${uid}:${gid}`, join(checkout, '..', '..', '..'), join(dataDir, '..')]);
      command = ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', '--pdeathsig', 'TERM', ...command];
    }
    starter = await npmStart({ cwd: checkout, dataDir, command, env: { HOME: dataDir } });
    await starter.ready();
    const processes = processesOf(dataDir);
    expect(await run('stat', ['-c', '%a', dataDir, join(dataDir, 'postgres'), join(dataDir, 'postgres', 'data')])).toBe(
      '700\n700\n700\n',
    );
    expect(await starter.stop('SIGTERM')).toBe(0);
    await expectGone(processes);
  });
});
