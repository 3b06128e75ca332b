import { BrokerError } from '../errors.js';
import { enter } from './enter.js';
import { roleConnections } from './limits.js';
import { scramVerifier } from './scram-verifier.js';
import { codeOf } from './server-fault.js';
import { type Server } from './server.js';
import { LONG_MS } from './session.js';
import { ident, literal, together } from './sql.js';
import { type BindingRole, type TenantLimits, type TenantNames } from './tenant.js';

const TRIES = 5;

export interface NewBinding extends BindingRole {
  password: string;
  limits: TenantLimits;
  /** From then on, by the server's clock, nobody logs in with it; sessions that are open stay. Null: never. */
  expiresAt?: Date | null;
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
  const attributes = `LOGIN INHERIT CONNECTION LIMIT ${roleConnections(ask.limits)} PASSWORD ${literal(verifier)} VALID UNTIL ${literal(ask.expiresAt?.toISOString() ?? 'infinity')}`;
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

/**
 * What was made before default privileges held, or has lost them, is opened to the read-only bindings. The owner's
 * statements only change rights: nothing of the tenant's is read or run.
 */
async function openToReader(server: Server, names: TenantNames, signal: AbortSignal): Promise<void> {
  await enter(server, names.database, signal, async (session) => {
    for (let tries = 1; ; tries += 1) {
      const rows = await session.query(missingGrants(names), { signal, limitMs: LONG_MS });
      if (rows.length === 0) return;
      const grants = rows.map((row) => row['grant'] as string);
      try {
        await session.query(together(`SET LOCAL ROLE ${ident(names.ownerRole)}`, ...grants), {
          signal,
          limitMs: LONG_MS,
        });
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
