import { type DatabaseSetting } from './dump-facts.js';
import { serverFault } from './server-fault.js';
import { type Server } from './server.js';
import { type Session } from './session.js';
import { ident, literal, together } from './sql.js';

/** What hangs on a database's OID and must go on with its name. */
export interface DatabaseTraits {
  oid: number;
  connectionLimit: number;
  comment: string | null;
  settings: DatabaseSetting[];
  grants: { grantee: string; privilege: string; grantable: boolean }[];
}

const PUBLIC = 'PUBLIC';

/** Undefined where there is no such database. */
export async function readTraits(server: Server, database: string, signal: AbortSignal) {
  const [row] = await server.sessions.query(
    `SELECT d.oid::int8::text AS oid, datconnlimit AS limit, shobj_description(d.oid, 'pg_database') AS comment,
       ARRAY(SELECT jsonb_build_object('role', CASE WHEN setrole <> 0 THEN pg_get_userbyid(setrole)::text END, 'setting', setting)
         FROM pg_db_role_setting, unnest(setconfig) setting WHERE setdatabase = d.oid) AS settings,
       ARRAY(SELECT jsonb_build_object('grantee', CASE WHEN grantee <> 0 THEN pg_get_userbyid(grantee)::text ELSE '' END,
           'privilege', privilege_type, 'grantable', is_grantable)
         FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE grantee <> datdba) AS grants
     FROM pg_database d WHERE datname = ${literal(database)}`,
    { signal },
  );
  if (row === undefined) return undefined;
  const settings = row['settings'] as { role: string | null; setting: string }[];
  const traits: DatabaseTraits = {
    oid: Number(row['oid']),
    connectionLimit: Number(row['limit']),
    comment: row['comment'] as string | null,
    settings: settings.map(({ role, setting }) => {
      const at = setting.indexOf('=');
      return { role, name: setting.slice(0, at), value: setting.slice(at + 1) };
    }),
    grants: row['grants'] as DatabaseTraits['grants'],
  };
  return traits;
}

/**
 * Limit, comment and settings of the living database on the one that takes its place, before it does. Gives what only
 * a superuser could set, where the broker has no superuser's login.
 */
export async function carrySettings(
  server: Server,
  traits: DatabaseTraits,
  incoming: string,
  former: DatabaseSetting[],
  signal: AbortSignal,
): Promise<string[]> {
  const database = ident(incoming);
  const roles = new Set(former.flatMap(({ role }) => role ?? []));
  const reset = together(
    `ALTER DATABASE ${database} CONNECTION LIMIT ${traits.connectionLimit}`,
    `COMMENT ON DATABASE ${database} IS ${traits.comment === null ? 'NULL' : literal(traits.comment)}`,
    `ALTER DATABASE ${database} RESET ALL`,
    ...[...roles].map((role) => `ALTER ROLE ${ident(role)} IN DATABASE ${database} RESET ALL`),
  );
  await server.sessions.query(reset, { signal });
  const refused: string[] = [];
  for (const setting of traits.settings) {
    const text = settingStatement(incoming, setting);
    const done = await trySet(server, text, signal);
    if (!done) refused.push(`setting ${setting.name} of the database${setting.role ? ` for ${setting.role}` : ''}`);
  }
  return refused;
}

/**
 * The plan's limit of temporary files, before anything runs in the incoming database: an archive's code must not fill
 * the server's disk either.
 */
export async function carryTempFileLimit(server: Server, living: string, incoming: string, signal: AbortSignal) {
  const traits = await readTraits(server, living, signal);
  const limit = traits?.settings.find(({ role, name }) => role === null && name === 'temp_file_limit');
  if (limit !== undefined) await trySet(server, settingStatement(incoming, limit), signal);
}

async function trySet(server: Server, text: string, signal: AbortSignal): Promise<boolean> {
  const set = (session: Session) => session.query(text, { signal });
  try {
    await server.sessions.maintenance(signal, set);
    return true;
  } catch (error) {
    if (signal.aborted || serverFault(server.name, error) !== error) throw error;
  }
  const { superuser } = server;
  if (superuser === undefined) return false;
  await server.sessions.inDatabase(superuser.target.database, signal, set, superuser);
  return true;
}

/** Rights on the incoming database as on the living one, which nobody may enter any more once it is replaced. */
export function rightsStatements(living: string, incoming: string, traits: DatabaseTraits, former: DatabaseTraits) {
  const role = (grantee: string) => (grantee === '' ? PUBLIC : ident(grantee));
  const formerRoles = new Set(['', ...former.grants.map(({ grantee }) => grantee)]);
  const connected = traits.grants
    .filter(({ privilege }) => privilege === 'CONNECT')
    .map(({ grantee }) => role(grantee));
  return [
    `REVOKE ALL ON DATABASE ${ident(incoming)} FROM ${[...formerRoles].map(role).join(', ')}`,
    ...traits.grants.map(
      ({ grantee, privilege, grantable }) =>
        `GRANT ${privilege} ON DATABASE ${ident(incoming)} TO ${role(grantee)}${grantable ? ' WITH GRANT OPTION' : ''}`,
    ),
    ...(connected.length > 0 ? [`REVOKE CONNECT ON DATABASE ${ident(living)} FROM ${connected.join(', ')}`] : []),
  ];
}

/** PostgreSQL's GUC_LIST_QUOTE: the stored text is a list whose members are quoted already (pg_dump's dumputils.c). */
const LISTS = new Set([
  ...['local_preload_libraries', 'search_path', 'session_preload_libraries', 'shared_preload_libraries'],
  ...['temp_tablespaces', 'unix_socket_directories'],
]);

function settingStatement(database: string, { role, name, value }: DatabaseSetting): string {
  const subject =
    role === null ? `ALTER DATABASE ${ident(database)}` : `ALTER ROLE ${ident(role)} IN DATABASE ${ident(database)}`;
  const setting = name.split('.').map(ident).join('.');
  const text = LISTS.has(name) ? listMembers(value).map(literal).join(', ') || `''` : literal(value);
  return `${subject} SET ${setting} TO ${text}`;
}

/** `"$user", public, "a ""b"""` as its members. */
function listMembers(text: string): string[] {
  return [...text.matchAll(/"((?:[^"]|"")*)"|[^\s,]+/g)].map(([bare, quoted]) =>
    quoted === undefined ? bare : quoted.replaceAll('""', '"'),
  );
}
