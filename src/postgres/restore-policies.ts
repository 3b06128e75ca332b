import { BrokerError } from '../errors.js';
import { statementsOf } from './restore-rights.js';
import { type Server } from './server.js';
import { type Session } from './session.js';
import { literal } from './sql.js';
import { type PostgresTools } from './tools.js';

const NAME = String.raw`(?:"(?:[^"]|"")+"|[^\s"',;()]+)`;
/** As pg_dump writes it; one for everybody has no TO. */
const POLICY = new RegExp(
  String.raw`^(CREATE POLICY (${NAME}) ON (${NAME}\.${NAME})(?: AS RESTRICTIVE)?(?: FOR [A-Z]+)?)(?: TO (${NAME}(?:, ${NAME})*))?(?= |;)`,
);

/** Those of the roles that the server does not have. */
export async function absentRoles(server: Server, roles: string[], signal: AbortSignal): Promise<string[]> {
  if (roles.length === 0) return [];
  const present = await server.sessions.query(
    `SELECT rolname::text AS name FROM pg_roles WHERE rolname IN (${roles.map(literal).join(', ')})`,
    { signal },
  );
  return roles.filter((role) => !present.some(({ name }) => name === role));
}

/**
 * Makes the row-level policies of the instance's own backup where roles that they name are gone, in a session that is
 * the owner. As when a role is dropped, a policy goes on for its other roles, or is left out where it has none: it never
 * becomes one for everybody. Gives what was left out.
 * @throws BrokerError restore_failed where it cannot be told whom a policy is for
 */
export async function restorePolicies(
  tools: PostgresTools,
  session: Session,
  { file, policies, absent }: { file: string; policies: string; absent: readonly string[] },
  signal: AbortSignal,
): Promise<string[]> {
  const statements = await statementsOf(tools, file, policies, /^(CREATE POLICY|COMMENT ON POLICY) /, signal);
  if (statements.length === 0) return [];
  // What the archive's statements name without a schema is PostgreSQL's own.
  await session.query(`SELECT pg_catalog.set_config('search_path', '', false)`, { signal });
  const leftOut: string[] = [];
  const dropped: string[] = [];
  for (const statement of statements) {
    if (dropped.some((policy) => statement.startsWith(`COMMENT ON ${policy} IS `))) continue;
    const { policy, text, gone } = withoutRoles(statement, absent);
    if (text !== undefined) await session.query(text, { signal });
    else dropped.push(policy);
    if (gone.length === 0) continue;
    leftOut.push(`${policy}${text === undefined ? '' : ` for ${gone.join(', ')}`} (${absence(gone)})`);
  }
  return leftOut;
}

function withoutRoles(statement: string, absent: readonly string[]) {
  if (statement.startsWith('COMMENT ')) return { policy: '', text: statement, gone: [] };
  const [whole, head, name, table, roles] = POLICY.exec(statement) ?? [];
  if (whole === undefined)
    throw new BrokerError('restore_failed', `whom a policy is for cannot be told: ${statement.slice(0, 200)}`);
  const policy = `POLICY ${name} ON ${table}`;
  const named = roles?.match(new RegExp(NAME, 'g')) ?? [];
  const gone = named.filter((role) => absent.includes(unquoted(role)));
  if (gone.length === 0) return { policy, text: statement, gone };
  const left = named.filter((role) => !gone.includes(role));
  const text = left.length === 0 ? undefined : `${head} TO ${left.join(', ')}${statement.slice(whole.length)}`;
  return { policy, text, gone };
}

function unquoted(name: string): string {
  return name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name;
}

function absence(roles: string[]): string {
  return roles.length === 1 ? `role ${roles[0]} does not exist` : `roles ${roles.join(', ')} do not exist`;
}
