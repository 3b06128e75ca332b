import {
  closeSync,
  existsSync,
  fchownSync,
  lchownSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { run } from './run.mjs';
import { scramVerifier } from './scram.mjs';
import { serverUser } from './server-user.mjs';

/** @typedef {import('./find-postgres.mjs').Postgres} Postgres */
/**
 * The three logins of an embedded cluster; passwords of letters and digits.
 * @typedef {object} ClusterPasswords
 * @property {string} postgres the superuser, for the operator only
 * @property {string} broker the broker's role: no superuser, makes databases and roles
 * @property {string} state the owner of the broker's state database
 */

export const SUPERUSER = 'postgres';
export const BROKER_ROLE = 'broker';
/** The state database and its owner have one name. */
export const STATE = 'broker_state';

/**
 * Makes a cluster in `folder`/data, ready with its roles and the state database, and leaves it stopped. The folder must
 * belong to the server's user. `data` appears only when it is complete.
 * @param {Postgres} postgres
 * @param {string} folder
 * @param {ClusterPasswords} passwords
 * @param {{ sync: boolean }} options `sync: false` where a loss at a power failure does no harm
 */
export async function createCluster(postgres, folder, passwords, { sync }) {
  const data = join(folder, 'data');
  const fresh = join(folder, 'data.new');
  rmSync(fresh, { recursive: true, force: true });
  await initialize(postgres, folder, fresh, passwords.postgres, sync);
  await executeAlone(postgres, fresh, setUpStatements(passwords));
  renameSync(fresh, data);
}

/** Whether createCluster has come to its end here. @param {string} folder */
export function isCluster(folder) {
  return existsSync(join(folder, 'data', 'PG_VERSION'));
}

/**
 * Makes a folder of the server's user, mode 0700, unless it is there.
 * @param {string} folder
 */
export function makeServerFolder(folder) {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { uid, gid } = serverUser();
  if (uid !== undefined && gid !== undefined) lchownSync(folder, uid, gid);
}

/**
 * The environment of the server's programs: nothing of the caller's (PGDATA, PGPORT, locale) reaches them.
 * @param {string} home
 * @returns {NodeJS.ProcessEnv}
 */
export function serverEnvironment(home) {
  return { PATH: process.env['PATH'] ?? '/usr/bin:/bin', HOME: home, LC_ALL: 'C', TZ: 'UTC' };
}

/** @param {Postgres} postgres @param {string} folder @param {string} data @param {string} password @param {boolean} sync */
async function initialize(postgres, folder, data, password, sync) {
  const passwordFile = join(folder, 'initdb-password');
  writeForServer(passwordFile, `${password}\n`);
  const locale = process.platform === 'darwin' ? 'en_US.UTF-8' : 'C.UTF-8';
  try {
    await run(
      join(postgres.bin, 'initdb'),
      [
        `--pgdata=${data}`,
        `--username=${SUPERUSER}`,
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        `--locale=${locale}`,
        '--data-checksums',
        ...(sync ? [] : ['--no-sync']),
      ],
      { cwd: folder, env: serverEnvironment(folder), ...serverUser() },
    );
  } finally {
    rmSync(passwordFile, { force: true });
  }
}

/** As root in a folder of another user: no link that may lie there is followed. @param {string} file @param {string} text */
function writeForServer(file, text) {
  rmSync(file, { force: true });
  const descriptor = openSync(file, 'wx', 0o600);
  try {
    const { uid, gid } = serverUser();
    if (uid !== undefined && gid !== undefined) fchownSync(descriptor, uid, gid);
    writeSync(descriptor, text);
  } finally {
    closeSync(descriptor);
  }
}

/** Executes statements, each on one line, in a cluster that does not run; the first error ends it and rejects.
 * @param {Postgres} postgres @param {string} data @param {readonly string[]} statements */
async function executeAlone(postgres, data, statements) {
  const settings = ['exit_on_error=on', 'fsync=off', 'log_statement=none'].flatMap((setting) => ['-c', setting]);
  await run(join(postgres.bin, 'postgres'), ['--single', '-D', data, ...settings, 'postgres'], {
    cwd: data,
    env: serverEnvironment(data),
    input: statements.map((statement) => `${statement};\n`).join(''),
    ...serverUser(),
  });
}

/** @param {ClusterPasswords} passwords */
function setUpStatements(passwords) {
  return [
    `CREATE ROLE ${BROKER_ROLE} LOGIN CREATEDB CREATEROLE PASSWORD '${scramVerifier(passwords.broker)}'`,
    `GRANT pg_signal_backend, pg_read_all_stats TO ${BROKER_ROLE}`,
    // What a tenant has put into a schema of its own must never be found before PostgreSQL's own functions.
    `ALTER ROLE ${BROKER_ROLE} SET search_path = pg_catalog`,
    `GRANT SET ON PARAMETER temp_file_limit TO ${BROKER_ROLE}`,
    `REVOKE ALL ON DATABASE postgres FROM PUBLIC`,
    `REVOKE ALL ON DATABASE template1 FROM PUBLIC`,
    `GRANT CONNECT ON DATABASE postgres TO ${BROKER_ROLE}`,
    `CREATE ROLE ${STATE} LOGIN PASSWORD '${scramVerifier(passwords.state)}'`,
    `CREATE DATABASE ${STATE} OWNER ${STATE} TEMPLATE template0`,
    `REVOKE ALL ON DATABASE ${STATE} FROM PUBLIC`,
  ];
}
