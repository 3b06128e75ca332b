import { type Session } from './session.js';

export interface ServerFacts {
  version: string;
  versionNumber: number;
  /** Whether the broker may set temp_file_limit for databases. */
  limitsTempFiles: boolean;
  /** Whether the C library knows C.UTF-8. */
  knowsCUtf8: boolean;
  /** Why no database can be made there. */
  fault?: string;
  /** What an operator should put right; tenants are served all the same. */
  warnings: string[];
}

export const OLDEST_VERSION = 150_000;

/** What the broker must know about a server before it works there. */
export async function readFacts(session: Session, signal: AbortSignal): Promise<ServerFacts> {
  const [server] = await session.query(
    `SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number`,
    { signal },
  );
  const version = String(server?.['version']).replace(/ .*/, '');
  const versionNumber = Number(server?.['number']);
  if (versionNumber < OLDEST_VERSION)
    return { version, versionNumber, limitsTempFiles: false, knowsCUtf8: false, warnings: [] };
  const [row] = await session.query(
    `SELECT has_parameter_privilege('temp_file_limit', 'SET') AS temp,
       EXISTS (SELECT FROM pg_collation WHERE collname IN ('C.utf8', 'C.UTF-8')) AS c_utf8,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS super,
       (SELECT ARRAY(SELECT what FROM (VALUES (rolsuper OR rolcreatedb, 'CREATEDB'),
           (rolsuper OR rolcreaterole, 'CREATEROLE')) AS rights(held, what) WHERE NOT held)
         FROM pg_roles WHERE rolname = current_user) AS lacks,
       current_user::text AS role,
       pg_has_role('pg_signal_backend', 'USAGE') AS signals,
       ARRAY(SELECT datname::text FROM pg_database WHERE datallowconn
         AND has_database_privilege('public', oid, 'CONNECT') ORDER BY 1) AS open`,
    { signal },
  );
  const open = row?.['open'] as string[];
  const lacks = row?.['lacks'] as string[];
  const role = String(row?.['role']);
  return {
    version,
    versionNumber,
    limitsTempFiles: row?.['temp'] === true,
    knowsCUtf8: row?.['c_utf8'] === true,
    ...(lacks.length > 0 && { fault: `the broker's role ${role} lacks ${lacks.join(' and ')}` }),
    warnings: [
      ...(row?.['super'] === true ? [superuserWarning(role)] : []),
      ...(row?.['signals'] === true ? [] : ["the broker's role needs to be a member of pg_signal_backend"]),
      ...(row?.['temp'] === true
        ? []
        : ['temp_file_limit of plans is not applied: GRANT SET ON PARAMETER temp_file_limit']),
      ...open.map((name) => `every tenant may connect to database ${name}: REVOKE CONNECT ON DATABASE FROM PUBLIC`),
    ],
  };
}

function superuserWarning(role: string): string {
  return (
    `the broker's role ${role} is a superuser, so that no fault of the broker, and nothing that a tenant prepares for ` +
    'it, is held back by PostgreSQL: give it a role with CREATEDB and CREATEROLE only'
  );
}
