import { setTimeout as delay } from 'node:timers/promises';
import { BrokerError } from '../errors.js';
import { enter } from './databases.js';
import { roleConnections } from './limits.js';
import { scramVerifier } from './scram-verifier.js';
import { codeOf } from './server-fault.js';
import { type Server } from './server.js';
import { ident, literal, together } from './sql.js';
import { type BindingRole, type TenantLimits, type TenantNames } from './tenant.js';

const END_SESSIONS_MS = 8000;
const TRIES = 5;

export interface NewBinding extends BindingRole {
  password: string;
  limits: TenantLimits;
}

/**
 * A read-write role becomes the owner at its login, so that the owner owns whatever any binding makes. A read-only one
 * never can; its transactions are read-only by default, which it may change without gaining a right.
 */
export async function createRole(server: Server, names: TenantNames, ask: NewBinding, signal: AbortSignal) {
  const verifier = await scramVerifier(ask.password);
  const readOnly = ask.access === 'read-only';
  if (readOnly) await openToReader(server, names, signal);
  const role = ident(ask.role);
  const group = ident(readOnly ? names.readerRole : names.connectRole);
  const attributes = `LOGIN INHERIT CONNECTION LIMIT ${roleConnections(ask.limits)} PASSWORD ${literal(verifier)}`;
  const settings = readOnly
    ? `ALTER ROLE ${role} SET default_transaction_read_only = on`
    : `ALTER ROLE ${role} SET role = ${literal(names.ownerRole)}`;
  try {
    await server.sessions.query(together(`CREATE ROLE ${role} ${attributes} IN ROLE ${group}`, settings), { signal });
  } catch (error) {
    if (codeOf(error) === '42704')
      throw new BrokerError('internal', 'the database of this instance is missing on its server', { cause: error });
    if (!/^(42710|23505)$/.test(codeOf(error))) throw error;
    const again = together(`ALTER ROLE ${role} ${attributes}`, `GRANT ${group} TO ${role}`, settings);
    await server.sessions.query(again, { signal });
  }
}

/** Ends its sessions and drops the role; what it still owns becomes the owner's. */
export async function dropRole(server: Server, names: TenantNames, role: string, signal: AbortSignal): Promise<void> {
  const oid = await lockOut(server, role, signal);
  if (oid === undefined) return;
  await endSessions(server, oid, signal);
  if (!(await tryDrop(server, role, signal))) {
    await release(server, names, role, oid, signal);
    if (!(await tryDrop(server, role, signal)))
      throw new BrokerError('concurrency', 'the role of this binding still owns something: try again later', {
        retryAfter: 5,
      });
  }
  // A login that had passed its check before the role was locked out shows among the sessions only later.
  await endSessions(server, oid, signal);
}

async function lockOut(server: Server, role: string, signal: AbortSignal): Promise<number | undefined> {
  const text = together(
    `ALTER ROLE ${ident(role)} NOLOGIN`,
    `SELECT oid FROM pg_roles WHERE rolname = ${literal(role)}`,
  );
  try {
    const [row] = await server.sessions.query(text, { signal });
    return row?.['oid'] as number | undefined;
  } catch (error) {
    if (codeOf(error) === '42704') return undefined;
    throw error;
  }
}

async function endSessions(server: Server, oid: number, signal: AbortSignal): Promise<void> {
  const text = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usesysid = ${oid}`;
  for (const limit = Date.now() + END_SESSIONS_MS; (await server.sessions.query(text, { signal })).length > 0;) {
    if (Date.now() > limit)
      throw new BrokerError('concurrency', 'sessions of this binding do not end: try again later', { retryAfter: 5 });
    await delay(10, undefined, { signal });
  }
}

/** False where objects depend on it. */
async function tryDrop(server: Server, role: string, signal: AbortSignal): Promise<boolean> {
  try {
    await server.sessions.query(`DROP ROLE IF EXISTS ${ident(role)}`, { signal });
    return true;
  } catch (error) {
    if (codeOf(error) === '2BP01') return false;
    throw error;
  }
}

/** In each database that knows the role: its objects to the owner, its rights taken. */
async function release(server: Server, names: TenantNames, role: string, oid: number, signal: AbortSignal) {
  const databases = await server.sessions.query(
    `SELECT DISTINCT d.datname::text AS name FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid
     WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = ${oid}`,
    { signal },
  );
  const text = together(
    `GRANT ${ident(role)} TO CURRENT_USER`,
    `REASSIGN OWNED BY ${ident(role)} TO ${ident(names.ownerRole)}`,
    `DROP OWNED BY ${ident(role)}`,
  );
  for (const row of databases)
    await enter(server, row['name'] as string, signal, (session) => session.query(text, { signal }));
}

/**
 * What was made before default privileges held, or has lost them, is opened to the read-only bindings. The owner's
 * statements only change rights: nothing of the tenant's is read or run.
 */
async function openToReader(server: Server, names: TenantNames, signal: AbortSignal): Promise<void> {
  await enter(server, names.database, signal, async (session) => {
    for (let tries = 1; ; tries += 1) {
      const rows = await session.query(missingGrants(names), { signal });
      if (rows.length === 0) return;
      const grants = rows.map((row) => row['grant'] as string);
      try {
        await session.query(together(`SET LOCAL ROLE ${ident(names.ownerRole)}`, ...grants), { signal });
        return;
      } catch (error) {
        const droppedMeanwhile = /^(42P01|3F000|42501)$/.test(codeOf(error));
        if (!droppedMeanwhile || tries === TRIES) throw error;
      }
    }
  });
}

function missingGrants({ ownerRole, readerRole }: TenantNames): string {
  const owner = `(SELECT oid FROM pg_roles WHERE rolname = ${literal(ownerRole)})`;
  const reader = `(SELECT oid FROM pg_roles WHERE rolname = ${literal(readerRole)})`;
  return `
    SELECT format('GRANT USAGE ON SCHEMA %I TO %I', nspname, ${literal(readerRole)}) AS grant FROM pg_namespace
    WHERE nspowner = ${owner} AND NOT has_schema_privilege(${reader}, oid, 'USAGE')
    UNION ALL
    SELECT format('GRANT SELECT ON %s %I.%I TO %I', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
      n.nspname, c.relname, ${literal(readerRole)})
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relowner = ${owner} AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't'
      AND NOT has_table_privilege(${reader}, c.oid, 'SELECT')
    UNION ALL
    SELECT format('ALTER DEFAULT PRIVILEGES GRANT %s TO %I', privilege, ${literal(readerRole)})
    FROM (VALUES ('n', 'USAGE ON SCHEMAS'), ('r', 'SELECT ON TABLES'), ('S', 'SELECT ON SEQUENCES')) w (kind, privilege)
    WHERE NOT EXISTS (SELECT FROM pg_default_acl, aclexplode(defaclacl) a
      WHERE defaclrole = ${owner} AND defaclnamespace = 0 AND defaclobjtype::text = kind AND a.grantee = ${reader})`;
}
