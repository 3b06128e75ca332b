import { setTimeout as delay } from 'node:timers/promises';
import { BrokerError } from '../errors.js';
import { enter } from './enter.js';
import { drawServerName } from './names.js';
import { codeOf } from './server-fault.js';
import { type Server } from './server.js';
import { LONG_MS, type Session } from './session.js';
import { ident, literal, together } from './sql.js';
import { type TenantNames } from './tenant.js';

const END_SESSIONS_MS = 8000;
/** For the databases of other tenants, who may hold out against it: all of them together are waited for so long. */
const ELSEWHERE_MS = 3000;

/** Name and comment of roles that cannot be dropped yet. Only the broker can write either. */
const LEFT = 'l';
const LEFT_COMMENT = 'locked out, to be dropped by the broker when no database knows it any more';

interface Whereabouts {
  database: string;
  /** Objects, not only rights. */
  owns: boolean;
}

/**
 * Ends its sessions and drops the role; what it still owns becomes the owner's. Any tenant can give rights in its own
 * database to any role, and keep the broker out: such a role is locked out and left, to be dropped later.
 */
export async function dropRole(server: Server, names: TenantNames, role: string, signal: AbortSignal): Promise<void> {
  const oid = await lockOut(server, role, signal);
  if (oid === undefined) return;
  await endSessions(server, oid, signal);
  if (!(await tryDrop(server, ident(role), signal))) {
    await handOver(server, names, role, oid, signal);
    await dropOrLeave(server, role, oid, signal);
  }
  // A login that had passed its check before the role was locked out shows among the sessions only later.
  await endSessions(server, oid, signal);
}

/** The same for roles whose database is gone. */
export async function dropRoles(server: Server, roles: string[], signal: AbortSignal): Promise<void> {
  if (await tryDrop(server, roles.map(ident).join(', '), signal)) return;
  for (const role of roles) {
    const oid = await lockOut(server, role, signal);
    if (oid !== undefined) await dropOrLeave(server, role, oid, signal);
  }
}

/** Tries once to drop those that were left; what cannot be dropped stays for the next time. */
export async function dropLeftRoles(server: Server, signal: AbortSignal): Promise<void> {
  const left = await server.sessions.query(
    `SELECT rolname::text AS name, oid FROM pg_roles
     WHERE rolname ~ '^${LEFT}[a-z0-9]{19}$' AND shobj_description(oid, 'pg_authid') = ${literal(LEFT_COMMENT)}`,
    { signal },
  );
  for (const { name, oid } of left) {
    const role = name as string;
    if (await tryDrop(server, ident(role), signal)) continue;
    await releaseElsewhere(server, role, oid as number, signal);
    await tryDrop(server, ident(role), signal);
  }
}

async function dropOrLeave(server: Server, role: string, oid: number, signal: AbortSignal): Promise<void> {
  if (await tryDrop(server, ident(role), signal)) return;
  await releaseElsewhere(server, role, oid, signal);
  if (await tryDrop(server, ident(role), signal)) return;
  await leave(server, role, oid, signal);
}

/** Its name is free from now on, and it can do nothing: nobody who is a member of it gains anything. */
async function leave(server: Server, role: string, oid: number, signal: AbortSignal): Promise<void> {
  const groups = await server.sessions.query(
    `SELECT DISTINCT g.rolname::text AS name FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
     WHERE m.member = ${oid}`,
    { signal },
  );
  const left = drawServerName(LEFT);
  const text = together(
    `ALTER ROLE ${ident(role)} NOLOGIN PASSWORD NULL`,
    ...groups.map(({ name }) => `REVOKE ${ident(name as string)} FROM ${ident(role)}`),
    `COMMENT ON ROLE ${ident(role)} IS ${literal(LEFT_COMMENT)}`,
    `ALTER ROLE ${ident(role)} RENAME TO ${ident(left)}`,
  );
  await server.sessions.query(text, { signal });
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

/** False where something depends on one of them: none is dropped. */
async function tryDrop(server: Server, roles: string, signal: AbortSignal): Promise<boolean> {
  try {
    await server.sessions.query(`DROP ROLE IF EXISTS ${roles}`, { signal });
    return true;
  } catch (error) {
    if (codeOf(error) === '2BP01') return false;
    throw error;
  }
}

async function whereabouts(server: Server, oid: number, signal: AbortSignal): Promise<Whereabouts[]> {
  const rows = await server.sessions.query(
    `SELECT d.datname::text AS database, bool_or(s.deptype = 'o') AS owns
     FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid
     WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = ${oid} GROUP BY 1`,
    { signal },
  );
  return rows as unknown as Whereabouts[];
}

/** In the instance's own databases: its objects to the owner, its rights taken. */
async function handOver(server: Server, names: TenantNames, role: string, oid: number, signal: AbortSignal) {
  const text = together(
    `GRANT ${ident(role)} TO CURRENT_USER`,
    `REASSIGN OWNED BY ${ident(role)} TO ${ident(names.ownerRole)}`,
    `DROP OWNED BY ${ident(role)}`,
  );
  for (const { database, owns } of await whereabouts(server, oid, signal))
    if (owns || database === names.database)
      await enter(server, database, signal, (session) => session.query(text, { signal, limitMs: LONG_MS }));
}

/** Takes the rights that others have given it. A database in which it owns something is left alone. */
async function releaseElsewhere(server: Server, role: string, oid: number, signal: AbortSignal): Promise<void> {
  const patience = AbortSignal.any([signal, AbortSignal.timeout(ELSEWHERE_MS)]);
  for (const { database, owns } of await whereabouts(server, oid, signal)) {
    if (owns) continue;
    await server.sessions
      .inDatabase(database, patience, (session) => takeRights(session, role, patience))
      .catch(() => signal.throwIfAborted());
  }
}

/** A right is taken by a member of who gave it: besides the owner that may be a binding that left its role. */
async function takeRights(session: Session, role: string, signal: AbortSignal): Promise<void> {
  const givers = await session.query(
    `SELECT DISTINCT r.rolname::text AS name FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid
     WHERE s.refclassid = 'pg_authid'::regclass AND s.deptype = 'o' AND NOT r.rolsuper AND NOT pg_has_role(r.oid, 'USAGE')
       AND s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())`,
    { signal },
  );
  const each = (statement: (name: string) => string) => givers.map(({ name }) => statement(ident(name as string)));
  const text = together(
    `GRANT ${ident(role)} TO CURRENT_USER`,
    ...each((giver) => `GRANT ${giver} TO CURRENT_USER`),
    `DROP OWNED BY ${ident(role)}`,
    ...each((giver) => `REVOKE ${giver} FROM CURRENT_USER`),
  );
  await session.query(text, { signal });
}
