import { createHash } from 'node:crypto';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { Inject, Injectable } from '@nestjs/common';
import { BROKER_CONFIG, BROKER_IDENTITY } from '../config/config.module.js';
import { type BrokerIdentity } from '../config/identity.js';
import { type BrokerConfig } from '../config/schema.js';
import { BrokerError, type ErrorCode } from '../errors.js';
import { type ConnectionTarget } from './connection-target.js';
import { reasonOf, toolOutput } from './tool-process.js';

export type ToolName = 'pg_dump' | 'pg_restore';

export interface ToolVersion {
  /** Such as 15.18. */
  version: string;
  major: number;
}

/** What a session of a program is to the server: nothing that a database or a role has set may disturb it. */
const PGOPTIONS = [
  'default_transaction_read_only=off',
  'statement_timeout=0',
  'lock_timeout=0',
  'idle_in_transaction_session_timeout=0',
  'idle_session_timeout=0',
  'client_connection_check_interval=1s',
]
  .map((setting) => `-c ${setting}`)
  .join(' ');

const VERSION_BYTES = 4096;

/** PostgreSQL's client programs on this machine. */
@Injectable()
export class PostgresTools {
  readonly #versions = new Map<ToolName, Promise<ToolVersion>>();

  constructor(
    @Inject(BROKER_CONFIG) private readonly config: BrokerConfig,
    @Inject(BROKER_IDENTITY) private readonly identity: BrokerIdentity,
  ) {}

  /** @throws BrokerError with `code` where no folder is known. */
  path(name: ToolName, code: ErrorCode): string {
    const folder = this.config.tools.postgres_bin_dir;
    if (folder === undefined)
      throw new BrokerError(code, `${name} is not installed beside the broker: set tools.postgres_bin_dir`);
    return join(folder, name);
  }

  version(name: ToolName, code: ErrorCode): Promise<ToolVersion> {
    const known = this.#versions.get(name) ?? this.#readVersion(name, code);
    this.#versions.set(name, known);
    known.catch(() => this.#versions.delete(name));
    return known;
  }

  /** Of programs that enter no server. */
  get plainEnvironment(): Record<string, string> {
    return { PATH: '/usr/bin:/bin', LC_ALL: 'C', HOME: '/nonexistent' };
  }

  /** Of programs that enter a server; `settings` go before those of database and role. */
  async environment(
    target: ConnectionTarget,
    database: string,
    settings: Record<string, string> = {},
  ): Promise<Record<string, string>> {
    const more = Object.entries(settings).map(([name, value]) => ` -c ${name}=${value}`);
    return {
      ...this.plainEnvironment,
      PGHOST: target.host,
      PGPORT: String(target.port),
      PGUSER: target.user,
      PGPASSWORD: target.password,
      PGDATABASE: database,
      PGSSLMODE: target.sslmode,
      PGAPPNAME: `broker/${this.identity.runner}`,
      PGCONNECT_TIMEOUT: '10',
      PGOPTIONS: PGOPTIONS + more.join(''),
      ...(await this.#rootCertificates(target)),
    };
  }

  /** libpq reads certificates from a file only; what they are is no secret. */
  async #rootCertificates({ sslmode, ca }: ConnectionTarget): Promise<Record<string, string>> {
    if (ca === undefined && !sslmode.startsWith('verify')) return {};
    const folder = join(this.config.data_dir, 'certificates');
    const text = ca ?? rootCertificates.join('\n');
    const file = join(folder, `${createHash('sha256').update(text).digest('hex').slice(0, 16)}.pem`);
    const fresh = `${file}.${this.identity.process}`;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await writeFile(fresh, text, { mode: 0o600 });
    await rename(fresh, file);
    return { PGSSLROOTCERT: file };
  }

  async #readVersion(name: ToolName, code: ErrorCode): Promise<ToolVersion> {
    const options = { env: this.plainEnvironment, signal: AbortSignal.timeout(10_000) };
    const end = await toolOutput(this.path(name, code), ['--version'], options, VERSION_BYTES);
    const [, version, major] = /\(PostgreSQL\) ((\d+)\S*)/.exec(end.output) ?? [];
    if (!end.ok || version === undefined) throw new BrokerError(code, reasonOf(name, end));
    return { version, major: Number(major) };
  }
}
