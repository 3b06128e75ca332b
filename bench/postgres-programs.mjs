import { join } from 'node:path';
import { run } from '../embedded/run.mjs';

/** PostgreSQL's own programs, as a person would call them: what the broker is compared with. */
export class PostgresPrograms {
  /** @param {import('./bench-broker.mjs').BenchBroker} broker */
  constructor(broker) {
    this.broker = broker;
    // As the broker: zstd where server and client know it.
    this.compression = broker.postgres.major >= 16 ? 'zstd:1' : '1';
  }

  /** @param {string} database @param {string} file */
  async dump(database, file) {
    const args = ['--format=custom', `--compress=${this.compression}`, `--file=${file}`];
    await this.#call('pg_dump', args, database);
  }

  /** @param {string} database empty @param {string} file @param {number} jobs */
  async restore(database, file, jobs) {
    const args = ['--exit-on-error', '--no-owner', `--jobs=${jobs}`, `--dbname=${database}`, file];
    await this.#call('pg_restore', args, database);
  }

  /** Reads all of an archive. @param {string} file */
  async readThrough(file) {
    await this.#call('pg_restore', ['--file=/dev/null', file]);
  }

  /** @param {string} name @param {string[]} args @param {string} [database] */
  #call(name, args, database) {
    const { hostname, port, username, password } = new URL(this.broker.superuserUrl());
    const login = { PGHOST: hostname, PGPORT: port, PGUSER: username, PGPASSWORD: password, PGDATABASE: database };
    return run(join(this.broker.postgres.bin, name), args, { env: { PATH: process.env['PATH'], ...login } });
  }
}
