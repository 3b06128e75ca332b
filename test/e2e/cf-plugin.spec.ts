import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../../embedded/run.mjs';
import { type Cf, type Ran } from '../support/cf.js';
import { type CfWorld, createDatabase, leaveCfWorld, logIn, makeCfWorld, type UserName } from '../support/cf-world.js';
import { expectGolden } from '../support/golden.js';
import { sql } from '../support/sql.js';
import { testRun } from '../support/test-run.js';

let world: CfWorld;
let uri: string;
let developer: Cf;

beforeAll(async () => {
  world = await makeCfWorld();
  developer = await logIn(world, 'developer');
  uri = await createDatabase(developer, 'my-db');
  await sql(uri, `CREATE TABLE visits AS SELECT i, md5(i::text) AS who FROM generate_series(1, 1000) i`);
}, 300_000);
afterAll(() => leaveCfWorld(world));

/** What a person sees of a command, and how it ended. */
function seen(line: string, { code, stdout, stderr }: Ran): string {
  const errors = stderr === '' ? '' : `--- standard error\n${stderr}`;
  return `$ cf ${line}\n${stdout}${errors}--- exit code ${code}\n`;
}

/** Runs a command, compares what it prints with the golden file, and gives what it printed. */
async function expectSeen(name: string, cf: Cf, line: string, input = ''): Promise<Ran> {
  const ran = await cf.run(line.split(' '), input);
  expectGolden(`cf-plugin/${name}`, seen(line, ran));
  return ran;
}

async function json(cf: Cf, line: string): Promise<Record<string, unknown>> {
  const { stdout } = await cf.run([...line.split(' '), '--json']);
  return JSON.parse(stdout) as Record<string, unknown>;
}

const rows = async () => (await sql(uri, 'SELECT count(*)::int AS n FROM visits'))[0]?.['n'];

it('says in the manner of cf what each command does', async () => {
  const commands = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8')
    .match(/`cf [a-z]+-?pg-[a-z-]+|`cf pg-[a-z]+/g)
    ?.map((each) => each.slice(4));
  const names = [...new Set(commands)];
  expect(names).toHaveLength(13);
  const help = await Promise.all(
    names.map(async (name) => `$ cf help ${name}\n${await developer.done(['help', name])}`),
  );
  expectGolden('cf-plugin/help', help.join('\n'));
});

it('makes, lists and shows backups', async () => {
  await expectSeen('no-backups', developer, 'pg-backups my-db');
  await expectSeen('create', developer, 'create-pg-backup my-db');
  await expectSeen('create-s3', developer, 'create-pg-backup my-db --storage s3 --name first');
  await expectSeen('create-taken', developer, 'create-pg-backup my-db --name first');
  await expectSeen('create-nowhere', developer, 'create-pg-backup my-db --storage nowhere');
  const begun = await json(developer, 'create-pg-backup my-db --name second --no-wait');
  await expectSeen('operation-wait', developer, `pg-operation ${String(begun['id'])} --wait`);
  await expectSeen('operation', developer, `pg-operation ${String(begun['id'])}`);
  await expectSeen('backups', developer, 'pg-backups my-db');
  await expectSeen('backups-s3', developer, 'pg-backups my-db --storage s3');
  await expectSeen('backup', developer, 'pg-backup my-db fir');
  await expectSeen('backup-unknown', developer, 'pg-backup my-db x');
  await expectSeen('operations', developer, 'pg-operations my-db');
  await expectSeen('storages', developer, 'pg-storages');
  const { backups } = (await json(developer, 'pg-backups my-db')) as { backups: { backup_name: string }[] };
  expect(backups.map((each) => each.backup_name)).toEqual(expect.arrayContaining(['first', 'second']));
});

it('restores, and undoes it', async () => {
  await sql(uri, 'DELETE FROM visits WHERE i > 10');
  await expectSeen('restore-declined', developer, 'restore-pg-backup my-db first', 'n\n');
  expect(await rows()).toBe(10);
  await expectSeen('restore', developer, 'restore-pg-backup my-db first', 'yes\n');
  expect(await rows()).toBe(1000);
  await expectSeen('undo-unasked', developer, 'undo-pg-restore my-db');
  await expectSeen('undo', developer, 'undo-pg-restore my-db -f');
  expect(await rows()).toBe(10);
  const restored = await json(developer, 'restore-pg-backup my-db latest -f');
  expect(restored).toMatchObject({ state: 'succeeded', kind: 'restore' });
  expect(await rows()).toBe(1000);
});

it('downloads an archive that pg_restore reads, and uploads it again', async () => {
  await expectSeen('download', developer, 'download-pg-backup my-db first -o my-db.dump');
  const file = join(developer.home, 'my-db.dump');
  expect(existsSync(`${file}.part`)).toBe(false);
  const table = await run(join(testRun().postgres.bin, 'pg_restore'), ['--list', file]);
  expect(table).toContain('TABLE DATA public visits');
  await expectSeen('download-again', developer, 'download-pg-backup my-db first -o my-db.dump');
  await expectSeen('upload', developer, 'upload-pg-backup my-db my-db.dump --name uploaded');
  writeFileSync(join(developer.home, 'x.sql'), 'SELECT 1; -- PostgreSQL database dump');
  await expectSeen('upload-sql', developer, 'upload-pg-backup my-db x.sql');
  const damaged = readFileSync(file);
  damaged.fill(0, 200, 400);
  writeFileSync(join(developer.home, 'damaged.dump'), damaged);
  const refused = await developer.run(['upload-pg-backup', 'my-db', 'damaged.dump']);
  expect(refused).toMatchObject({ code: 1, stdout: expect.stringContaining('FAILED') as string });
  expect(refused.stderr).toMatch(/operation: [0-9a-f-]{36}/);
});

it('restores into another database', async () => {
  const other = await createDatabase(developer, 'other-db');
  await expectSeen('restore-from', developer, 'restore-pg-backup other-db first --from my-db', 'y\n');
  expect((await sql(other, 'SELECT count(*)::int AS n FROM visits'))[0]?.['n']).toBe(1000);
});

it('deletes a backup', async () => {
  await expectSeen('delete', developer, 'delete-pg-backup my-db second', 'y\n');
  await expectSeen('delete-gone', developer, 'delete-pg-backup my-db second -f');
});

it('lets an auditor look, and change nothing', async () => {
  const auditor = await logIn(world, 'auditor');
  for (const command of ['pg-backups my-db', 'pg-backup my-db first', 'pg-operations my-db', 'pg-storages'])
    expect(await auditor.run(command.split(' '))).toMatchObject({ code: 0, stderr: '' });
  await expectSeen('auditor-create', auditor, 'create-pg-backup my-db');
  const changes = ['restore-pg-backup my-db first -f', 'undo-pg-restore my-db -f', 'download-pg-backup my-db first'];
  for (const command of [...changes, 'delete-pg-backup my-db first -f']) await expectForbidden(auditor, command);
  writeFileSync(join(auditor.home, 'my-db.dump'), readFileSync(join(developer.home, 'my-db.dump')));
  await expectForbidden(auditor, 'upload-pg-backup my-db my-db.dump');
});

async function expectForbidden(cf: Cf, command: string): Promise<void> {
  const refused = await json(cf, command);
  expect({ command, ...refused }).toMatchObject({ command, error: { code: 'forbidden' } });
}

it('shows an outsider nothing, not even that there is something', async () => {
  const outsider = await logIn(world, 'outsider');
  const guid = (await developer.done(['service', 'my-db', '--guid'])).trim();
  await expectSeen('outsider-by-name', outsider, 'pg-backups my-db');
  const unknown = await outsider.run(['pg-backups', '6c0e9d3c-5d8b-4c1f-9c57-3f6f0f0a7e11', '--guid']);
  const real = await outsider.run(['pg-backups', guid, '--guid']);
  const masked = (ran: Ran) => seen('', ran).replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '<id>');
  expect(masked(real)).toBe(masked(unknown));
  expectGolden('cf-plugin/outsider', seen('pg-backups GUID --guid', real));
  const [operation] = ((await json(developer, 'pg-operations my-db')) as { operations: { id: string }[] }).operations;
  await expectSeen('outsider-operation', outsider, `pg-operation ${operation?.id}`);
});

it('needs a login, a space, and consent to send the token elsewhere', async () => {
  const nobody = await logIn(world, 'developer' satisfies UserName);
  const elsewhere = ['pg-backups', 'my-db', '--backup-api', 'https://backups.example.org'];
  expect(await nobody.run(elsewhere)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('cf trust-pg-broker') as string,
  });
  await expectSeen('trust', nobody, 'trust-pg-broker backups.example.org');
  expect(await nobody.done(['trust-pg-broker'])).toContain('backups.example.org');
  expect(statSync(join(nobody.home, '.cf', 'pg-backup-trusted-hosts.json')).mode & 0o777).toBe(0o600);
  await nobody.done(['logout']);
  await expectSeen('logged-out', nobody, 'pg-backups my-db');
});
