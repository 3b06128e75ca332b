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
/** @type {Record<string, [string, ...string[]]>} */
const programs = {
  backup: ['pg_dump', '--format=custom', `--file=${archive}`],
  // All of it, or nothing.
  restore: ['pg_restore', '--clean', '--if-exists', '--no-owner', '--single-transaction', '--exit-on-error', archive],
};

const work = mkdtempSync(join(tmpdir(), 'state-database-'));
try {
  const [program, ...args] = programs[task] ?? [];
  if (program === undefined) throw new Error('expected backup or restore');
  const { env, database } = connection(config.state);
  const command = join(config.tools.postgres_bin_dir, program);
  const options = /** @type {const} */ ({ env: { ...process.env, ...env }, stdio: 'inherit' });
  const { status, error } = spawnSync(command, [...args, `--dbname=${database}`], options);
  if (error) throw error;
  process.exitCode = status ?? 1;
} finally {
  rmSync(work, { recursive: true, force: true });
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
