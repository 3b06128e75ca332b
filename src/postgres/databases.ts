import { BrokerError } from '../errors.js';
import { enter } from './enter.js';
import {
  changeStatements,
  creation,
  extensionFault,
  type ExtensionChange,
  madeMeanwhile,
  removal,
} from './extensions.js';
import { databaseConnections, databaseSettings, roleConnections } from './limits.js';
import { localeClauses } from './locales.js';
import { dropRoles } from './role-removal.js';
import { codeOf } from './server-fault.js';
import { type Server } from './server.js';
import { LONG_MS, type Session } from './session.js';
import { ident, literal, together } from './sql.js';
import { inPhase, type Step } from './step.js';
import { type BindingRole, type TenantLimits, type TenantNames } from './tenant.js';

const EXTENSION_TRIES = 5;
/** How long a CREATE DATABASE that was given up may take to end. */
const CREATION_ENDS_MS = 5000;

export interface NewDatabase {
  locale?: string | undefined;
  limits: TenantLimits;
  extensions: string[];
}

/** Nobody may connect before CONNECT is taken from PUBLIC: another tenant could be inside by then, and stay. */
export async function createDatabase(server: Server, names: TenantNames, ask: NewDatabase, step: Step): Promise<void> {
  const { signal } = step;
  const extensions = await creation(server, ask.extensions, signal);
  await inPhase(step, 'creating_database', () => makeClosed(server, names, ask.locale, signal));
  await inPhase(step, 'preparing_database', async () => {
    await open(server, names, ask.limits, signal);
    await furnish(server, names, extensions, signal);
  });
}

async function makeClosed(server: Server, names: TenantNames, locale: string | undefined, signal: AbortSignal) {
  const text = `${creationOf(names)}TEMPLATE template0
    ${await localeClauses(server, locale, signal)} ALLOW_CONNECTIONS false`;
  try {
    await server.creating.run(signal, () => server.sessions.query(text, { signal, limitMs: LONG_MS }));
  } catch (error) {
    if (/^(42P04|23505)$/.test(codeOf(error))) return;
    if (locale !== undefined && /^(22023|42809|42602)$/.test(codeOf(error)))
      throw new BrokerError('invalid_request', 'parameters.locale: this locale is not known to the server', {
        cause: error,
      });
    throw error;
  }
}

/** To the owner too, which cannot log in: sizes and monitoring tools are refused to whoever may not connect. */
function connectRights(names: TenantNames): string {
  const roles = [names.connectRole, names.readerRole, names.ownerRole].map(ident);
  return `GRANT CONNECT ON DATABASE ${ident(names.database)} TO ${roles.join(', ')}`;
}

/** Roles, rights and limits in one transaction: all of them are there or none. */
async function open(server: Server, names: TenantNames, limits: TenantLimits, signal: AbortSignal): Promise<void> {
  const facts = await server.facts(signal);
  const database = ident(names.database);
  const rights = [
    `GRANT ${ident(names.ownerRole)} TO ${ident(names.connectRole)}, CURRENT_USER`,
    `REVOKE ALL ON DATABASE ${database} FROM PUBLIC`,
    connectRights(names),
    `GRANT CREATE, TEMPORARY ON DATABASE ${database} TO ${ident(names.ownerRole)}`,
    `ALTER DATABASE ${database} ALLOW_CONNECTIONS true CONNECTION LIMIT ${databaseConnections(limits)}`,
    ...databaseSettings(names.database, limits, facts),
  ];
  const roles: [name: string, attributes: string][] = [
    [names.ownerRole, 'NOLOGIN'],
    [names.connectRole, 'NOLOGIN NOINHERIT'],
    [names.readerRole, 'NOLOGIN'],
  ];
  const text = (present: string[]) =>
    together(
      ...roles.map(
        ([name, attributes]) => `${present.includes(name) ? 'ALTER' : 'CREATE'} ROLE ${ident(name)} ${attributes}`,
      ),
      ...rights,
    );
  try {
    await server.sessions.query(text([]), { signal });
  } catch (error) {
    if (!/^(42710|23505)$/.test(codeOf(error))) throw error;
    const present = await presentRoles(
      server,
      roles.map(([name]) => name),
      signal,
    );
    await server.sessions.query(text(present), { signal });
  }
}

/** Default privileges let the read-only bindings read whatever the owner makes from now on. */
async function furnish(server: Server, names: TenantNames, extensions: ExtensionChange, signal: AbortSignal) {
  const reader = ident(names.readerRole);
  const text = together(
    `ALTER SCHEMA public OWNER TO ${ident(names.ownerRole)}`,
    `SET LOCAL ROLE ${ident(names.ownerRole)}`,
    `ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO ${reader}`,
    `ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO ${reader}`,
    `ALTER DEFAULT PRIVILEGES GRANT SELECT ON SEQUENCES TO ${reader}`,
    `SET LOCAL ROLE NONE`,
    ...changeStatements(names, extensions),
  );
  await change(server, names, extensions, text, signal);
}

export interface ExtensionsAsk {
  wanted: string[];
  had: string[];
  /** What needs the superuser must be there already: statements that nobody knows have run in the database. */
  asOwnerOnly?: boolean;
}

/** Creates what is missing of `wanted` and drops what of `had` is no longer wanted, in one transaction. */
export async function changeExtensions(
  server: Server,
  names: TenantNames,
  { wanted, had, asOwnerOnly = false }: ExtensionsAsk,
  signal: AbortSignal,
): Promise<void> {
  const installed = await enter(server, names.database, signal, (session) => installedIn(session, names, signal));
  const created = await creation(
    server,
    wanted.filter((name) => !installed.has(name)),
    signal,
  );
  const removed = removal(
    server,
    had.filter((name) => !wanted.includes(name)),
    installed,
  );
  const both = {
    asOwner: [...created.asOwner, ...removed.asOwner],
    asSuperuser: [...created.asSuperuser, ...removed.asSuperuser],
  };
  if (asOwnerOnly && both.asSuperuser.length > 0)
    throw new BrokerError('restore_failed', 'an extension that only a superuser can create is missing');
  const statements = changeStatements(names, both);
  if (statements.length > 0) await change(server, names, both, together(...statements), signal);
}

async function change(
  server: Server,
  names: TenantNames,
  extensions: ExtensionChange,
  text: string,
  signal: AbortSignal,
) {
  const connector = extensions.asSuperuser.length > 0 ? server.superuser : undefined;
  const work = (session: Session) => session.query(text, { signal, limitMs: LONG_MS });
  for (let tries = 1; ; tries += 1) {
    try {
      await enter(server, names.database, signal, work, connector);
      return;
    } catch (error) {
      if (!madeMeanwhile(error) || tries === EXTENSION_TRIES) throw extensionFault(error);
    }
  }
}

async function installedIn(session: Session, names: TenantNames, signal: AbortSignal) {
  const rows = await session.query(
    `SELECT extname::text AS name, pg_get_userbyid(extowner) = ${literal(names.ownerRole)} AS owned FROM pg_extension`,
    { signal },
  );
  return new Map(rows.map((row) => [row['name'] as string, { owned: row['owned'] === true }]));
}

/** New connections and sessions get the new limits; what is connected stays. A role that is not there is left out. */
export async function limitDatabase(
  server: Server,
  names: TenantNames,
  limits: TenantLimits,
  bindings: BindingRole[],
  signal: AbortSignal,
): Promise<void> {
  const facts = await server.facts(signal);
  const roles = await presentRoles(
    server,
    bindings.map(({ role }) => role),
    signal,
  );
  const text = together(
    connectRights(names),
    `ALTER DATABASE ${ident(names.database)} CONNECTION LIMIT ${databaseConnections(limits)}`,
    ...databaseSettings(names.database, limits, facts),
    ...roles.map((role) => `ALTER ROLE ${ident(role)} CONNECTION LIMIT ${roleConnections(limits)}`),
  );
  await server.sessions.query(text, { signal });
}

/** Ends its sessions; where one of them is not the broker's to end (a superuser's), nothing is dropped. */
export async function dropDatabase(server: Server, names: TenantNames, roles: string[], step: Step): Promise<void> {
  const { signal } = step;
  await inPhase(step, 'dropping_database', async () => {
    await endCreation(server, names, signal);
    await endPrepared(server, names, signal);
    try {
      const text = `DROP DATABASE IF EXISTS ${ident(names.database)} WITH (FORCE)`;
      await server.sessions.query(text, { signal, limitMs: LONG_MS });
    } catch (error) {
      if (codeOf(error) !== '42501') throw error;
      throw new BrokerError('concurrency', 'a session that the broker may not end is connected to the database', {
        cause: error,
        retryAfter: 5,
      });
    }
    await dropRoles(server, [...roles, names.readerRole, names.connectRole, names.ownerRole], signal);
  });
}

/** A creation that was given up, or whose broker died, may still go on: the database must not come after its end. */
async function endCreation(server: Server, names: TenantNames, signal: AbortSignal): Promise<void> {
  const rows = await server.sessions.query(
    `SELECT pg_terminate_backend(pid, ${CREATION_ENDS_MS}) AS ended FROM pg_stat_activity
     WHERE usename = CURRENT_USER AND state = 'active' AND starts_with(query, ${literal(creationOf(names))})`,
    { signal },
  );
  if (rows.every(({ ended }) => ended === true)) return;
  throw new BrokerError('concurrency', 'the creation of the database does not end', { retryAfter: 5 });
}

function creationOf(names: TenantNames): string {
  return `CREATE DATABASE ${ident(names.database)} `;
}

/** Prepared transactions that an application left behind belong to no session, and no database with one is dropped. */
async function endPrepared(server: Server, names: TenantNames, signal: AbortSignal): Promise<void> {
  const prepared = await server.sessions.query(
    `SELECT gid, owner::text FROM pg_prepared_xacts JOIN pg_roles ON rolname = owner
     WHERE database = ${literal(names.database)} AND NOT rolsuper`,
    { signal },
  );
  if (prepared.length === 0) return;
  await enter(server, names.database, signal, async (session) => {
    for (const { gid, owner } of prepared as { gid: string; owner: string }[]) {
      // One by one, since it cannot be part of a transaction, and its owner alone may end it.
      if (owner !== names.ownerRole) await session.query(`GRANT ${ident(owner)} TO CURRENT_USER`, { signal });
      await session.query(`SET ROLE ${ident(owner)}`, { signal });
      await session.query(`ROLLBACK PREPARED ${literal(gid)}`, { signal }).catch((error: unknown) => {
        if (codeOf(error) !== '42704') throw error;
      });
      await session.query('RESET ROLE', { signal });
    }
  });
}

export async function databaseSize(
  server: Server,
  names: TenantNames,
  signal: AbortSignal,
): Promise<number | undefined> {
  const text = `SELECT pg_database_size(oid)::float8 AS bytes FROM pg_database WHERE datname = ${literal(names.database)}`;
  const [row] = await server.sessions.query(text, { signal });
  return row?.['bytes'] as number | undefined;
}

async function presentRoles(server: Server, roles: string[], signal: AbortSignal): Promise<string[]> {
  if (roles.length === 0) return [];
  const rows = await server.sessions.query(
    `SELECT rolname::text AS name FROM pg_roles WHERE rolname IN (${roles.map(literal).join(', ')})`,
    { signal },
  );
  return rows.map((row) => row['name'] as string);
}
