import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type EphemeralLogin } from './ephemeral-role.js';
import { runRestore } from './restore-run.js';
import { type PostgresTools } from './tools.js';

/** As pg_restore 17 tells of a server that is older. */
const UNKNOWN = `pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter "transaction_timeout"
Command was: SET transaction_timeout = 0;`;
const MISTAKE = `pg_restore: error: could not execute query: ERROR:  relation "gone" does not exist
Command was: ALTER TABLE gone OWNER TO nobody;`;
const ignored = (count: number) => `pg_restore: warning: errors ignored on restore: ${count}`;

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'broker-restore-run-'));
});

afterEach(() => rmSync(folder, { recursive: true }));

/** pg_restore that says this and ends with 1. */
function run(said: string[], own: boolean, versions = { major: 17, versionNumber: 160_012 }): Promise<string[]> {
  const program = join(folder, 'pg_restore');
  writeFileSync(join(folder, 'said'), `${said.join('\n')}\n`);
  writeFileSync(program, `#!/bin/sh\necho "$@" > ${folder}/args\ncat ${folder}/said >&2\nexit 1\n`);
  chmodSync(program, 0o755);
  const tools = {
    path: () => program,
    version: () => Promise.resolve({ version: '', major: versions.major }),
    environment: () => Promise.resolve({ PATH: '/usr/bin:/bin' }),
  };
  const login = { target: { password: 'x' } } as unknown as EphemeralLogin;
  const ask = {
    file: join(folder, 'archive'),
    jobs: 2,
    own,
    versionNumber: versions.versionNumber,
    list: '',
    database: 'd',
  };
  return runRestore(tools as unknown as PostgresTools, login, ask, new AbortController().signal);
}

describe('pg_restore of PostgreSQL 17 or newer with an older server', () => {
  it.each([
    { major: 17, versionNumber: 160_012, stops: false },
    { major: 18, versionNumber: 150_018, stops: false },
    { major: 17, versionNumber: 170_000, stops: true },
    { major: 18, versionNumber: 170_004, stops: true },
    { major: 16, versionNumber: 150_018, stops: true },
  ])('goes on after it only there: %j', async ({ stops, ...versions }) => {
    await run([UNKNOWN, ignored(1)], true, versions);
    expect(readFileSync(join(folder, 'args'), 'utf8').includes('--exit-on-error')).toBe(stops);
  });

  it.each([true, false])('its own setting is no error (own backup: %s)', async (own) => {
    expect(await run([UNKNOWN, UNKNOWN, UNKNOWN, ignored(3)], own)).toEqual([]);
    expect(readFileSync(join(folder, 'args'), 'utf8')).not.toContain('--exit-on-error');
  });

  it('every other error is one', async () => {
    const found = ['ALTER TABLE gone OWNER TO nobody;: relation "gone" does not exist'];
    expect(await run([UNKNOWN, MISTAKE, UNKNOWN, ignored(3)], false)).toEqual(found);
    await expect(run([UNKNOWN, MISTAKE, ignored(2)], true)).rejects.toMatchObject({ details: { errors: found } });
  });

  it('what its jobs say at once counts too, however it is mixed', async () => {
    const mixed = (message: string) =>
      `pg_restore: pg_restore: error: error: could not execute query: ERROR:  ${message.replace('\n', '\ncould not ')}`;
    const mistake = mixed('relation "gone" does not exist\nCommand was: ALTER TABLE gone OWNER TO nobody;');
    await expect(run([mistake, ignored(2)], true)).rejects.toMatchObject({ code: 'restore_failed' });
    await expect(run([UNKNOWN, mistake, ignored(2)], true)).rejects.toMatchObject({ code: 'restore_failed' });
    expect(await run([UNKNOWN, mistake, ignored(2)], false)).toEqual(['and 1 more']);
    const [message = '', command = ''] = UNKNOWN.split('\n');
    const torn = [message.replace('pg_restore: error', 'pg_restore: pg_restore: error: error'), command];
    expect(await run([UNKNOWN, ...torn, ignored(2)], true)).toEqual([]);
  });

  it('that it did not come to its end is one', async () => {
    await expect(run([UNKNOWN], true)).rejects.toMatchObject({ code: 'restore_failed' });
    await expect(run([UNKNOWN], false)).rejects.toMatchObject({ code: 'restore_failed' });
  });
});
