import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type pg from 'pg';
import { CACHE } from '../../embedded/project.mjs';
import { type Cf, type Typed } from '../support/cf.js';
import { type CfWorld, createDatabase, leaveCfWorld, logIn, makeCfWorld } from '../support/cf-world.js';
import { type Passing, times } from '../support/faulty-path.js';
import { session, sql } from '../support/sql.js';
import { until } from '../support/until.js';

const ID = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/;
const CTRL_C = '\x03';

let world: CfWorld;
let cf: Cf;
let uri: string;

beforeAll(async () => {
  world = await makeCfWorld();
  cf = await logIn(world, 'developer');
  uri = await createDatabase(cf, 'my-db');
  await sql(uri, 'CREATE TABLE visits AS SELECT i, md5(i::text) AS who FROM generate_series(1, 100000) i');
}, 300_000);
afterAll(() => leaveCfWorld(world));

/** While it is held no dump gets on: pg_dump waits for the table. */
async function hold(): Promise<pg.Client> {
  const holder = await session(uri);
  await holder.query('BEGIN; LOCK TABLE visits IN ACCESS EXCLUSIVE MODE');
  return holder;
}

/** What the terminal shows in the end of a command, once it is over. */
async function ended(typed: Typed, code: number): Promise<string> {
  expect({ code: await typed.ended, shown: typed.shown() }).toMatchObject({ code });
  return typed.shown();
}

it('shows a live line; Ctrl-C leaves the work alone and says how to go on watching', async () => {
  const holder = await hold();
  const typed = cf.typed(['create-pg-backup', 'my-db']);
  await typed.shows(/dumping/);
  typed.type(CTRL_C);
  const [line = '', id = ''] = await typed.shows(
    /The backup goes on without this command\. To watch it: cf pg-operation ([0-9a-f-]{36}) --wait/,
  );
  expect(line).not.toBe('');
  await typed.ended;
  const watching = cf.typed(['pg-operation', id, '--wait']);
  await watching.shows(/dumping/);
  await holder.end();
  const shown = await ended(watching, 0);
  expect(shown).toContain('\x1b[32;1mOK\x1b[0');
  // The live line is written over, and gone in the end.
  expect(shown).toMatch(/\r(dumping|queued)[^\n]*\x1b\[K\r\x1b\[K/);
});

it('asks before it restores', async () => {
  const typed = cf.typed(['restore-pg-backup', 'my-db', 'latest']);
  await typed.shows(/Really restore\? \[yN\]: /);
  typed.type('y\n');
  expect(await ended(typed, 0)).toContain('undo until:');
});

it('cancels', async () => {
  const holder = await hold();
  const begun = await cf.done(['create-pg-backup', 'my-db', '--no-wait', '--name', 'cancelled']);
  const id = ID.exec(begun)?.[0] ?? '';
  expect(await cf.done(['cancel-pg-operation', id], 'y\n')).toMatch(/Really cancel the backup .*OK\n$/s);
  await holder.end();
  expect(await cf.run(['pg-operation', id, '--wait'])).toMatchObject({
    code: 1,
    stderr: `the operation was cancelled\noperation: ${id}\n`,
  });
  expect(await cf.done(['pg-backups', 'my-db'])).not.toContain('cancelled');
});

it('goes on with a download whose connection breaks', async () => {
  await cf.done(['create-pg-backup', 'my-db', '--name', 'large']);
  const download = ({ method, url }: Passing) => method === 'GET' && url.startsWith('/download_backup/');
  world.path.interfere = times(2, download, { cutAnswerAt: 100_000 });
  world.path.seen.length = 0;
  const out = await cf.done(['download-pg-backup', 'my-db', 'large', '-o', 'large.dump']);
  expect(out).toContain('OK');
  const asked = world.path.seen.filter(download).map(({ headers }) => headers.range);
  expect(asked).toHaveLength(3);
  expect(asked[0]).toBeUndefined();
  expect(asked.slice(1).every((range) => /^bytes=\d+-$/.test(range ?? ''))).toBe(true);
});

it('keeps what has come of a download that is broken off, and resumes it', async () => {
  const download = ({ url }: Passing) => url.startsWith('/download_backup/');
  world.path.interfere = times(Infinity, download, { stallAnswerAt: 100_000 });
  const typed = cf.typed(['download-pg-backup', 'my-db', 'large', '-o', 'again.dump']);
  await typed.shows(/again\.dump.*\d+%/);
  const part = join(cf.home, 'again.dump.part');
  await until('what has come', () => readFileSync(part).length === 100_000);
  typed.type(CTRL_C);
  await typed.shows(/To go on: cf download-pg-backup my-db large -o again.dump --resume/);
  await typed.ended;
  world.path.interfere = () => undefined;
  world.path.seen.length = 0;
  await cf.done(['download-pg-backup', 'my-db', 'large', '-o', 'again.dump', '--resume']);
  expect(world.path.seen.filter(download).map(({ headers }) => headers.range)).toEqual(['bytes=100000-']);
  expect(readFileSync(join(cf.home, 'again.dump'))).toEqual(readFileSync(join(cf.home, 'large.dump')));
});

it('says what is known when the answer to a change is lost', async () => {
  world.path.interfere = times(1, ({ method }) => method === 'POST', { loseAnswer: true });
  const lost = await cf.run(['create-pg-backup', 'my-db', '--name', 'lost']);
  expect(lost).toMatchObject({ code: 1, stderr: expect.stringContaining('cf pg-operations my-db tells') as string });
  // It has begun, as that tells, and goes on.
  await until('the backup', async () => (await cf.done(['pg-backups', 'my-db'])).includes('lost'));
});

it('goes on watching while the broker is away, with a token that is renewed', async () => {
  world.controller.uaa.lifetimeS = 61;
  await logInAgain();
  const holder = await hold();
  const typed = cf.typed(['create-pg-backup', 'my-db', '--name', 'patient']);
  await typed.shows(/dumping/);
  const renewals = world.controller.faults.asked(/oauth\/token$/);
  await until('a renewed token', () => world.controller.faults.asked(/oauth\/token$/) > renewals);
  world.path.interfere = times(3, () => true, { answer: { status: 503, headers: { 'retry-after': '1' } } });
  await holder.end();
  expect(await ended(typed, 0)).toContain('patient');
  world.controller.uaa.lifetimeS = 600;
  await logInAgain();
});

/** cf forgets the target at each login. */
async function logInAgain(): Promise<void> {
  await cf.done(['auth', 'developer', world.controller.world.users.developer.password]);
  await cf.done(['target', '-o', 'org', '-s', 'space']);
}

it('looks like this', async () => {
  const commands = [
    ['create-pg-backup my-db --storage s3 --name before-migration'],
    ['pg-backups my-db'],
    ['restore-pg-backup my-db before', 'y\n'],
    ['download-pg-backup my-db before -o my-db.dump'],
  ];
  const recorded: { command: string; shown: string }[] = [];
  for (const [command = '', answer] of commands) {
    const typed = cf.typed(command.split(' '));
    if (answer !== undefined) {
      await typed.shows(/\[yN\]: /);
      typed.type(answer);
    }
    recorded.push({ command: `cf ${command}`, shown: await ended(typed, 0) });
  }
  // npm run picture makes the picture in README.md of it.
  mkdirSync(CACHE, { recursive: true });
  writeFileSync(join(CACHE, 'cf-plugin-session.json'), JSON.stringify(recorded, null, 2));
  expect(recorded.map(({ shown }) => /\r\n$/.test(shown))).toEqual([true, true, true, true]);
});
