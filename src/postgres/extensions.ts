import { BrokerError } from '../errors.js';
import { drawServerName } from './names.js';
import { codeOf } from './server-fault.js';
import { type Server } from './server.js';
import { ident } from './sql.js';
import { type TenantNames } from './tenant.js';

const FIELD = 'parameters.extensions';
const CATALOG_HOLDS_MS = 60_000;

interface Available {
  /** An owner of the database may create it. */
  trusted: boolean;
  /** The one schema in which it can be; null: any. */
  schema: string | null;
  relocatable: boolean;
}

/** Which extensions a server has; reading its control files takes milliseconds, so it is remembered for a minute. */
const catalogs = new WeakMap<Server, { value: ReadonlyMap<string, Available>; at: number }>();

/** Statements for one transaction, in this order, of which only the second group needs a superuser. */
export interface ExtensionChange {
  asOwner: string[];
  asSuperuser: string[];
}

/** @throws BrokerError invalid_request naming what this server does not have, or what only a superuser could create. */
export async function creation(server: Server, wanted: string[], signal: AbortSignal): Promise<ExtensionChange> {
  const change: ExtensionChange = { asOwner: [], asSuperuser: [] };
  if (wanted.length === 0) return change;
  const catalog = await availableOn(server, signal);
  for (const name of wanted) {
    const found = catalog.get(name);
    if (found === undefined) throw refused(`extension ${name} is not available on this server`);
    if (!found.trusted && server.superuser === undefined)
      throw refused(`extension ${name} can be created by a superuser only, which the broker is not`);
    if (found.relocatable && !found.trusted) change.asSuperuser.push(...apart(name));
    else
      (found.trusted ? change.asOwner : change.asSuperuser).push(
        `CREATE EXTENSION IF NOT EXISTS ${ident(name)} SCHEMA ${ident(found.schema ?? 'public')} CASCADE`,
      );
  }
  return change;
}

/**
 * The script of an extension looks for functions and operators in the extension's schema too: what a tenant has put
 * there would run as a superuser. So it runs in a schema that is the superuser's and empty, and what it has made is
 * moved afterwards, with what it requires.
 */
function apart(name: string): string[] {
  const schema = drawServerName('x');
  return [
    `CREATE SCHEMA ${schema}`,
    `CREATE EXTENSION IF NOT EXISTS ${ident(name)} SCHEMA ${schema} CASCADE`,
    `DO $$ DECLARE made record; BEGIN
       FOR made IN SELECT extname FROM pg_extension WHERE extnamespace = '${schema}'::regnamespace AND extrelocatable
       LOOP EXECUTE format('ALTER EXTENSION %I SET SCHEMA public', made.extname); END LOOP; END $$`,
    `DO $$ BEGIN
       IF NOT EXISTS (SELECT FROM pg_extension WHERE extnamespace = '${schema}'::regnamespace)
       THEN DROP SCHEMA ${schema}; ELSE GRANT USAGE ON SCHEMA ${schema} TO PUBLIC; END IF; END $$`,
  ];
}

/** @throws BrokerError invalid_request for one that a superuser made, where the broker has no superuser's login. */
export function removal(
  server: Server,
  unwanted: string[],
  installed: ReadonlyMap<string, { owned: boolean }>,
): ExtensionChange {
  const present = unwanted.filter((name) => name !== 'plpgsql' && installed.has(name));
  const owned = present.filter((name) => installed.get(name)?.owned === true);
  const others = present.filter((name) => !owned.includes(name));
  if (others.length > 0 && server.superuser === undefined)
    throw refused(`extension ${others[0]} belongs to a superuser: the broker cannot remove it`);
  const drop = (names: string[]) =>
    names.length > 0 ? [`DROP EXTENSION IF EXISTS ${names.map(ident).join(', ')}`] : [];
  return { asOwner: drop(owned), asSuperuser: drop(others) };
}

/** The owner's statements run as the owner, also in a superuser's session. */
export function changeStatements(names: TenantNames, change: ExtensionChange): string[] {
  const { asOwner, asSuperuser } = change;
  return [
    ...(asOwner.length > 0 ? [`SET LOCAL ROLE ${ident(names.ownerRole)}`, ...asOwner, 'SET LOCAL ROLE NONE'] : []),
    ...asSuperuser,
  ];
}

/** `IF NOT EXISTS` does not see what another session creates and has not committed yet; the next try does. */
export function madeMeanwhile(error: unknown): boolean {
  return codeOf(error) === '23505' && (error as { constraint?: unknown }).constraint === 'pg_extension_name_index';
}

/** What the server refuses because of the tenant's own objects is the user's to change; the rest passes through. */
export function extensionFault(error: unknown): unknown {
  const cause = error instanceof BrokerError ? error.cause : error;
  if (!(cause instanceof Error)) return error;
  const { code, detail, message } = cause as Error & { code?: string; detail?: string };
  if (code === '2BP01') return refused(`an extension is in use and cannot be removed: ${usersOf(detail ?? '')}`);
  if (code === '42501') return refused('an extension, or one that it requires, can be created by a superuser only');
  if (/^(42710|42723|42P0[67]|3F000|0A000)$/.test(codeOf(error))) return refused(message);
  return error;
}

function usersOf(detail: string): string {
  return detail
    .split('\n')
    .map((line) => line.replace(/ depends on /, ' uses '))
    .join(', ');
}

function refused(what: string): BrokerError {
  return new BrokerError('invalid_request', `${FIELD}: ${what}`);
}

async function availableOn(server: Server, signal: AbortSignal): Promise<ReadonlyMap<string, Available>> {
  const known = catalogs.get(server);
  if (known !== undefined && Date.now() - known.at < CATALOG_HOLDS_MS) return known.value;
  const rows = await server.sessions.query(
    `SELECT e.name::text, v.trusted, v.relocatable, v.schema::text FROM pg_available_extensions e
       JOIN pg_available_extension_versions v ON v.name = e.name AND v.version = e.default_version`,
    { signal },
  );
  const value = new Map(
    rows.map((row) => [
      row['name'] as string,
      {
        trusted: row['trusted'] === true,
        relocatable: row['relocatable'] === true,
        schema: row['schema'] as string | null,
      },
    ]),
  );
  catalogs.set(server, { value, at: Date.now() });
  return value;
}
