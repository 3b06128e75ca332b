import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tryLock } from '../../../embedded/lock.mjs';
import { PROJECT } from '../../../embedded/project.mjs';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'broker-lock-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('the lock of a folder', () => {
  it('is refused to another process while it is held, and free after its release', () => {
    const lock = tryLock(folder);
    if (!('release' in lock)) throw new Error('expected the lock of a new folder to be free');
    expect(tryLock(folder)).toMatchObject({ pid: process.pid });
    lock.release();
    expect(tryLock(folder)).toHaveProperty('release');
  });

  it.each([
    ['whose pid another process has by now', JSON.stringify({ pid: process.pid, started: 'long ago' })],
    ['that is not there any more', JSON.stringify({ pid: 2 ** 22 + 1, started: 'long ago' })],
    ['that did not come to write its pid', ''],
  ])('is free after a holder %s', (_, holder) => {
    writeFileSync(join(folder, '7'), holder);
    expect(tryLock(folder)).toHaveProperty('release');
    expect(readdirSync(folder)).toEqual(['8']);
  });

  it('is held by one at a time when many want it, some of whom die with it', async () => {
    const lock = join(folder, 'lock');
    const journal = join(folder, 'journal');
    mkdirSync(lock);
    appendFileSync(journal, '');
    // Each one writes down its coming and its going; every third dies instead of releasing.
    const script = `
      import { appendFileSync } from 'node:fs';
      import { setTimeout as wait } from 'node:timers/promises';
      import { tryLock } from ${JSON.stringify(join(PROJECT, 'embedded', 'lock.mjs'))};
      const [lock, journal, name] = process.argv.slice(1);
      let held;
      while (!('release' in (held = tryLock(lock)))) await wait(1);
      appendFileSync(journal, 'in ' + name + '\\n');
      await wait(3);
      appendFileSync(journal, 'out ' + name + '\\n');
      if (Number(name) % 3 === 0) process.kill(process.pid, 'SIGKILL');
      held.release();
    `;
    const names = Array.from({ length: 12 }, (_, index) => String(index));
    await Promise.all(
      names.map((name) =>
        once(
          spawn(process.execPath, ['--input-type=module', '-e', script, lock, journal, name], { stdio: 'inherit' }),
          'exit',
        ),
      ),
    );
    const lines = readFileSync(journal, 'utf8').trim().split('\n');
    expect(lines).toHaveLength(2 * names.length);
    for (let at = 0; at < lines.length; at += 2) expect(lines[at + 1]).toBe(lines[at]?.replace('in', 'out'));
  });
});
