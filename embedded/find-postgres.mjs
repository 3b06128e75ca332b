import { execFileSync } from 'node:child_process';
import { accessSync, constants, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { serverUser } from './server-user.mjs';

/**
 * @typedef {object} Postgres
 * @property {string} bin folder of initdb, postgres, pg_dump, pg_restore and psql
 * @property {number} major
 * @property {string} version as the program says it, such as 15.18
 */

/** What the embedded mode and, for backups, the broker itself call. */
const PROGRAMS = ['initdb', 'postgres', 'pg_dump', 'pg_restore'];
/** Says where the installed ones are. */
const ASKED = 'pg_config';
/** Parameters can be granted (`temp_file_limit` of a plan) from this version on. */
const OLDEST = 15;

/**
 * The PostgreSQL that is installed on this machine: `PG_BINDIR`, else what `pg_config` names, else the newest of the
 * usual places. A `PG_BINDIR` that cannot be used is an error and never passed over.
 * @param {NodeJS.ProcessEnv} env
 * @param {readonly string[]} [more] folders to look at last
 * @returns {Postgres | undefined}
 */
export function findPostgres(env, more = []) {
  const named = env['PG_BINDIR'];
  if (named) {
    const postgres = inspect(named);
    if (!postgres)
      throw new Error(`PG_BINDIR: expected ${PROGRAMS.join(', ')} of PostgreSQL ${OLDEST} or newer in ${named}`);
    return postgres;
  }
  for (const bins of [configured(), newest(), more]) {
    for (const bin of bins) {
      const postgres = inspect(bin);
      if (postgres) return postgres;
    }
  }
  return undefined;
}

/** @param {string} bin @returns {Postgres | undefined} */
function inspect(bin) {
  try {
    for (const program of PROGRAMS) accessSync(join(bin, program), constants.X_OK);
    const said = execFileSync(join(bin, 'postgres'), ['--version'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      cwd: '/',
      // What its user cannot reach is as good as not there.
      ...serverUser(),
    });
    const version = /(\d+)(?:\.\d+|devel|beta\d+|rc\d+)*/.exec(said);
    const major = Number(version?.[1] ?? 0);
    return version && major >= OLDEST ? { bin, major, version: version[0] } : undefined;
  } catch {
    return undefined;
  }
}

function configured() {
  try {
    return [execFileSync(ASKED, ['--bindir'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()];
  } catch {
    return [];
  }
}

function newest() {
  return [
    ...versions('/usr/lib/postgresql', 'bin'),
    ...['/opt/homebrew/opt', '/usr/local/opt'].flatMap((folder) => versions(folder, 'bin', 'postgresql@')),
    ...versions('/Applications/Postgres.app/Contents/Versions', 'bin'),
    ...versions('/usr', 'bin', 'pgsql-'),
  ];
}

/** Folders such as FOLDER/15/bin, the highest number first. @param {string} folder @param {string} below @param {string} [prefix] */
function versions(folder, below, prefix = '') {
  /** @type {string[]} */
  let names;
  try {
    names = readdirSync(folder);
  } catch {
    return [];
  }
  return names
    .filter((name) => name.startsWith(prefix) && /^\d+(\.\d+)?$/.test(name.slice(prefix.length)))
    .sort((a, b) => Number(b.slice(prefix.length)) - Number(a.slice(prefix.length)))
    .map((name) => join(folder, name, below));
}
