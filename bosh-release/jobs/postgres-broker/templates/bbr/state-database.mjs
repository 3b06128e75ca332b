// Backs up the state database into a folder, or restores it from there: state-database.mjs backup|restore FOLDER
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const [task = '', folder = ''] = process.argv.slice(2);
/** @typedef {{ url: string, ca?: string }} State */
/** @type {unknown} */
const parsed = JSON.parse(readFileSync('/var/vcap/jobs/postgres-broker/config/broker.json', 'utf8'));
const config = /** @type {{ state: State, tools: { postgres_bin_dir: string } }} */ (parsed);
const archive = join(folder, 'state.dump');
const PSQL = '/var/vcap/packages/postgres-15/bin/psql';
/** pg_restore's own --clean cannot take partitions apart. */
const EMPTY = `DO $$ DECLARE found name; BEGIN
  FOR found IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
  LOOP EXECUTE format('DROP SCHEMA %I CASCADE', found); END LOOP;
  CREATE SCHEMA public;
END $$`;

const work = mkdtempSync(join(tmpdir(), 'state-database-'));
try {
  const { env, database } = connection(config.state);
  if (task === 'backup') backUp(env, database);
  else if (task === 'restore') restore(env, database);
  else throw new Error('expected backup or restore');
} finally {
  rmSync(work, { recursive: true, force: true });
}

/** @param {NodeJS.ProcessEnv} env @param {string} database */
function backUp(env, database) {
  run(tool('pg_dump'), ['--format=custom', `--file=${archive}`, `--dbname=${database}`], env);
}

/** All of it, or nothing. @param {NodeJS.ProcessEnv} env @param {string} database */
function restore(env, database) {
  const script = join(work, 'state.sql');
  run(tool('pg_restore'), ['--no-owner', `--file=${script}`, archive], env);
  const safe = ['--no-psqlrc', '--quiet', '--set=ON_ERROR_STOP=1', '--single-transaction', '--output=/dev/null'];
  run(PSQL, [...safe, `--command=${EMPTY}`, `--file=${script}`, `--dbname=${database}`], env);
}

/** @param {string} name */
function tool(name) {
  return join(config.tools.postgres_bin_dir, name);
}

/** @param {string} program @param {string[]} args @param {NodeJS.ProcessEnv} env */
function run(program, args, env) {
  const { status, error } = spawnSync(program, args, { env: { ...process.env, ...env }, stdio: 'inherit' });
  if (error) throw error;
  if (status !== 0) {
    process.stderr.write(`${program} ended with exit code ${status}\n`);
    rmSync(work, { recursive: true, force: true });
    process.exit(1);
  }
}

/** The password goes by the environment: arguments are seen by everybody. @param {State} state */
function connection({ url, ca }) {
  const target = new URL(url);
  const env = { PGPASSWORD: decodeURIComponent(target.password) };
  target.password = '';
  if (ca === undefined) return { env, database: target.href };
  const file = ca.includes('-----BEGIN') ? join(work, 'ca.pem') : ca;
  if (file !== ca) writeFileSync(file, ca);
  return { env: { ...env, PGSSLROOTCERT: file, PGSSLMODE: 'verify-full' }, database: target.href };
}
