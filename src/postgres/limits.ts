import { type ServerFacts } from './server-facts.js';
import { ident } from './sql.js';
import { type TenantLimits } from './tenant.js';

/** PostgreSQL counts a broker that is no superuser too: it must be able to enter a full database. */
const CONNECTIONS_OF_BROKER = 3;

const LARGEST_INT = 2 ** 31 - 1;

export function databaseConnections({ connections }: TenantLimits): number {
  return connections === undefined ? -1 : connections + CONNECTIONS_OF_BROKER;
}

export function roleConnections({ connections }: TenantLimits): number {
  return connections ?? -1;
}

/**
 * Time-outs and temporary files as settings of the database, not of each role: one place, which also holds for the
 * roles that live already. What a limit leaves open is reset to the server's default.
 */
export function databaseSettings(database: string, limits: TenantLimits, facts: ServerFacts): string[] {
  const { statementTimeoutMs, idleInTransactionTimeoutMs, tempFileLimitBytes } = limits;
  const settings: [name: string, value: number | undefined][] = [
    ['statement_timeout', statementTimeoutMs],
    ['idle_in_transaction_session_timeout', idleInTransactionTimeoutMs],
  ];
  if (facts.limitsTempFiles)
    settings.push([
      'temp_file_limit',
      tempFileLimitBytes === undefined ? undefined : Math.ceil(tempFileLimitBytes / 1024),
    ]);
  return settings.map(([name, value]) =>
    value === undefined
      ? `ALTER DATABASE ${ident(database)} RESET ${name}`
      : `ALTER DATABASE ${ident(database)} SET ${name} = ${Math.min(value, LARGEST_INT)}`,
  );
}
