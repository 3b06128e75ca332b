import { BrokerError } from '../errors.js';
import { carryTempFileLimit } from './carry-over.js';
import { dropRole } from './role-removal.js';
import { enter } from './enter.js';
import { type TenantNames } from './tenant.js';
import { drawEphemeralRole } from './ephemeral-role.js';
import { creation } from './extensions.js';
import { drawServerName } from './names.js';
import { codeOf } from './server-fault.js';
import { type Server } from './server.js';
import { LONG_MS } from './session.js';
import { ident, literal, together } from './sql.js';

/** Written down by the caller before anything is made, so that all of it can be found after a crash. */
export interface RestoreNames {
  /** The database that is filled, and then takes the place of the living one. */
  database: string;
  /** The ephemeral role that fills it. */
  role: string;
  /** The name that the replaced database gets. */
  restorePoint: string;
}

export function drawRestoreNames(): RestoreNames {
  return { database: drawServerName('s'), role: drawEphemeralRole(), restorePoint: drawRestorePoint() };
}

export function drawRestorePoint(): string {
  return drawServerName('p');
}

const SHADOW = /^s[a-z0-9]{19}$/;
const RESTORE_POINT = /^p[a-z0-9]{19}$/;
const OF_THE_BROKER = /^[a-z][a-z0-9]{19}$/;

/** Same encoding and locale as the living database; nobody but the ephemeral role may enter. */
export async function makeShadow(server: Server, names: TenantNames, shadow: RestoreNames, signal: AbortSignal) {
  const text = `CREATE DATABASE ${ident(shadow.database)} TEMPLATE template0
    ${await localeOf(server, names.database, signal)} ALLOW_CONNECTIONS false`;
  await server.creating.run(signal, () => server.sessions.query(text, { signal, limitMs: LONG_MS }));
}

export async function openShadow(server: Server, names: TenantNames, shadow: RestoreNames, signal: AbortSignal) {
  const database = ident(shadow.database);
  await carryTempFileLimit(server, names.database, shadow.database, signal);
  const rights = together(
    `REVOKE ALL ON DATABASE ${database} FROM PUBLIC`,
    `GRANT CONNECT ON DATABASE ${database} TO ${ident(shadow.role)}`,
    `GRANT CREATE, TEMPORARY ON DATABASE ${database} TO ${ident(names.ownerRole)}`,
    `ALTER DATABASE ${database} ALLOW_CONNECTIONS true`,
  );
  await server.sessions.query(rights, { signal });
}

/** From now on nobody may enter; a role that may still would not let itself be dropped. */
export async function closeShadow(server: Server, { database, role }: RestoreNames, signal: AbortSignal) {
  await server.sessions.query(`REVOKE CONNECT ON DATABASE ${ident(database)} FROM ${ident(role)}`, { signal });
}

/**
 * What must be there before the archive's objects: the owner's schema, extensions that only a superuser can create,
 * and for an archive without rights the default ones that let read-only bindings read.
 */
export async function furnishShadow(
  server: Server,
  names: TenantNames,
  shadow: RestoreNames,
  { extensions, readable }: { extensions: string[]; readable: boolean },
  signal: AbortSignal,
) {
  const wanted = await superuserExtensions(server, extensions, signal);
  const reader = ident(names.readerRole);
  const text = together(
    `ALTER SCHEMA public OWNER TO ${ident(names.ownerRole)}`,
    ...(readable
      ? [
          `SET LOCAL ROLE ${ident(names.ownerRole)}`,
          `GRANT USAGE ON SCHEMA public TO ${reader}`,
          `ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO ${reader}`,
          `ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO ${reader}`,
          `ALTER DEFAULT PRIVILEGES GRANT SELECT ON SEQUENCES TO ${reader}`,
          `SET LOCAL ROLE NONE`,
        ]
      : []),
    ...wanted,
  );
  const connector = wanted.length > 0 ? server.superuser : undefined;
  await enter(
    server,
    shadow.database,
    signal,
    (session) => session.query(text, { signal, limitMs: LONG_MS }),
    connector,
  );
}

/** Only those that the owner cannot create by itself; what this server does not have is left to the restore to report. */
async function superuserExtensions(server: Server, extensions: string[], signal: AbortSignal): Promise<string[]> {
  if (server.superuser === undefined) return [];
  const changes = await Promise.all(
    extensions.map((name) => creation(server, [name], signal).catch(() => ({ asSuperuser: [] as string[] }))),
  );
  return changes.flatMap(({ asSuperuser }) => asSuperuser);
}

/**
 * A backup's rights and policies name roles of its time: bindings, and whatever else a tenant could see. Those that are
 * gone by now are made for the time of the restore, as roles that cannot log in; a comment marks them, so that they are
 * found after a crash. When they are dropped, their rights and policies go, and nothing else.
 */
export async function makePlaceholders(server: Server, shadow: RestoreNames, roles: string[], signal: AbortSignal) {
  const names = [...new Set(roles)].filter((role) => OF_THE_BROKER.test(role));
  if (names.length === 0) return;
  const present = await server.sessions.query(
    `SELECT rolname::text AS name FROM pg_roles WHERE rolname IN (${names.map(literal).join(', ')})`,
    { signal },
  );
  const missing = names.filter((name) => !present.some((row) => row['name'] === name));
  const text = together(
    ...missing.flatMap((name) => [
      `CREATE ROLE ${ident(name)} NOLOGIN`,
      `COMMENT ON ROLE ${ident(name)} IS ${literal(markOf(shadow))}`,
    ]),
  );
  if (missing.length > 0) await server.sessions.query(text, { signal });
}

/** Repeatable. */
export async function dropPlaceholders(server: Server, names: TenantNames, shadow: RestoreNames, signal: AbortSignal) {
  const rows = await server.sessions.query(
    `SELECT r.rolname::text AS name FROM pg_roles r JOIN pg_shdescription d ON d.objoid = r.oid
       AND d.classoid = 'pg_authid'::regclass WHERE d.description = ${literal(markOf(shadow))} AND NOT r.rolcanlogin`,
    { signal },
  );
  for (const { name } of rows) await dropRole(server, names, String(name), signal);
}

function markOf({ database }: RestoreNames): string {
  return `placeholder for the restore into ${database}`;
}

/**
 * Statements of an archive may have given the owner a password or settings. It never logs in; still nothing of them
 * stays. Settings in the shadow alone would go on with it, so they go too.
 */
export async function scrubOwner(server: Server, names: TenantNames, databases: string[], signal: AbortSignal) {
  const owner = ident(names.ownerRole);
  const rows = await server.sessions.query(
    `SELECT datname::text AS name FROM pg_database WHERE datname IN (${databases.map(literal).join(', ')})`,
    { signal },
  );
  const text = together(
    `ALTER ROLE ${owner} NOLOGIN PASSWORD NULL`,
    `ALTER ROLE ${owner} RESET ALL`,
    ...rows.map((row) => `ALTER ROLE ${owner} IN DATABASE ${ident(String(row['name']))} RESET ALL`),
  );
  await server.sessions.query(text, { signal }).catch((error: unknown) => {
    if (codeOf(error) !== '42704') throw error;
  });
}

/** Whatever a restore has left, at whatever point it broke off. Repeatable; never touches the living database. */
export async function discardShadow(server: Server, names: TenantNames, shadow: RestoreNames, signal: AbortSignal) {
  if (!SHADOW.test(shadow.database)) throw new Error(`not a shadow: ${shadow.database}`);
  await dropForced(server, shadow.database, signal, shadow.role);
  await dropRole(server, names, shadow.role, signal);
  await dropPlaceholders(server, names, shadow, signal);
  await scrubOwner(server, names, [shadow.database], signal);
}

export async function dropRestorePoint(server: Server, database: string, signal: AbortSignal): Promise<void> {
  if (!RESTORE_POINT.test(database)) throw new Error(`not a restore point: ${database}`);
  await dropForced(server, database, signal);
}

/** The login goes first: a program that a dead broker has left would connect anew. */
async function dropForced(server: Server, database: string, signal: AbortSignal, role?: string): Promise<void> {
  if (role !== undefined)
    await server.sessions.query(`ALTER ROLE ${ident(role)} NOLOGIN`, { signal }).catch((error: unknown) => {
      if (codeOf(error) !== '42704') throw error;
    });
  try {
    const text = `DROP DATABASE IF EXISTS ${ident(database)} WITH (FORCE)`;
    await server.sessions.query(text, { signal, limitMs: LONG_MS });
  } catch (error) {
    if (codeOf(error) !== '42501') throw error;
    throw new BrokerError('database_in_use', 'a session that the broker may not end is connected to the database', {
      cause: error,
      retryAfter: 5,
    });
  }
}

/** The clauses of CREATE DATABASE that make another database like this one; the columns' names changed with 17. */
async function localeOf(server: Server, database: string, signal: AbortSignal): Promise<string> {
  const [row] = await server.sessions.query(
    `SELECT pg_encoding_to_char(encoding) AS encoding, datcollate AS collate, datctype AS ctype,
       datlocprovider::text AS provider, coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale') AS locale,
       to_jsonb(d)->>'daticurules' AS rules
     FROM pg_database d WHERE datname = ${literal(database)}`,
    { signal },
  );
  if (row === undefined) throw new BrokerError('internal', 'the database of this instance is missing on its server');
  const { encoding, collate, ctype, provider, locale, rules } = row as Record<string, string | null>;
  const base = `ENCODING ${literal(encoding ?? '')} LC_COLLATE ${literal(collate ?? '')} LC_CTYPE ${literal(ctype ?? '')}`;
  if (provider === 'i')
    return `${base} LOCALE_PROVIDER icu ICU_LOCALE ${literal(locale ?? '')}${rules ? ` ICU_RULES ${literal(rules)}` : ''}`;
  return provider === 'b' ? `${base} LOCALE_PROVIDER builtin BUILTIN_LOCALE ${literal(locale ?? '')}` : base;
}
