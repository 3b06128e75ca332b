import { BrokerError } from '../errors.js';
import { type DatabaseSetting } from './dump-facts.js';
import { countBeside, type CountedTable, countedTables, type CountsBeside } from './row-counts.js';
import { serverFault } from './server-fault.js';
import { type Server } from './server.js';
import { type Row, type Session } from './session.js';
import { ident, literal } from './sql.js';
import { type BindingRole, type TenantNames } from './tenant.js';

/** What the shared catalogs say of a database, read by the broker's own role. */
export interface CatalogFacts {
  bytes: number;
  encoding: string;
  locale: string;
  settings: DatabaseSetting[];
  bindingRoles: BindingRole[];
  /** Roles other than the owner that own something there: the dump as owner would fail on it. */
  strayOwners: string[];
}

const NO_TENANT = 'the database of this instance is missing on its server';

export async function catalogFacts(server: Server, names: TenantNames, signal: AbortSignal): Promise<CatalogFacts> {
  const member = (
    group: string,
  ) => `ARRAY(SELECT r.rolname::text FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member
    JOIN pg_roles g ON g.oid = m.roleid WHERE g.rolname = ${literal(group)} AND r.rolcanlogin AND r.rolname ~ '^b' ORDER BY 1)`;
  const [row] = await server.sessions.query(
    `SELECT pg_database_size(d.oid)::text AS bytes, pg_encoding_to_char(d.encoding) AS encoding,
       coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale', d.datcollate) AS locale,
       ARRAY(SELECT jsonb_build_object('role', CASE WHEN s.setrole <> 0 THEN pg_get_userbyid(s.setrole)::text END, 'setting', setting)
         FROM pg_db_role_setting s, unnest(s.setconfig) setting
         WHERE s.setdatabase = d.oid ORDER BY s.setrole, setting) AS settings,
       ${member(names.connectRole)} AS writers, ${member(names.readerRole)} AS readers,
       ARRAY(SELECT DISTINCT r.rolname::text FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid
         WHERE s.dbid = d.oid AND s.refclassid = 'pg_authid'::regclass AND s.deptype = 'o' AND r.rolname ~ '^[be]'
           AND (pg_has_role(r.oid, ${literal(names.ownerRole)}::name, 'MEMBER')
             OR pg_has_role(r.oid, ${literal(names.readerRole)}::name, 'MEMBER'))) AS strays
     FROM pg_database d WHERE d.datname = ${literal(names.database)}`,
    { signal },
  );
  if (row === undefined) throw new BrokerError('internal', NO_TENANT);
  return {
    bytes: Number(row['bytes']),
    encoding: String(row['encoding']),
    locale: String(row['locale']),
    settings: (row['settings'] as { role: string | null; setting: string }[]).map(parseSetting),
    bindingRoles: [
      ...(row['writers'] as string[]).map((role): BindingRole => ({ role, access: 'read-write' })),
      ...(row['readers'] as string[]).map((role): BindingRole => ({ role, access: 'read-only' })),
    ],
    strayOwners: row['strays'] as string[],
  };
}

function parseSetting({ role, setting }: { role: string | null; setting: string }): DatabaseSetting {
  const at = setting.indexOf('=');
  return { role, name: setting.slice(0, at), value: setting.slice(at + 1) };
}

/** A session may make large objects of its own (`SET ROLE NONE`): they become the owner's. */
export function adoption(names: TenantNames, strays: string[]): string[] {
  return strays.flatMap((role) => [
    `GRANT ${ident(role)} TO CURRENT_USER`,
    `REASSIGN OWNED BY ${ident(role)} TO ${ident(names.ownerRole)}`,
  ]);
}

/** An exported snapshot, held open by a session of the ephemeral role, which also counts in it. */
export class DumpSnapshot {
  #tables: CountedTable[] | undefined;

  private constructor(
    private readonly server: Server,
    private readonly session: Session,
    readonly id: string,
    readonly at: string,
    readonly lsn: string,
    readonly extensions: { name: string; version: string }[],
    /** Roles to which rights or policies are given. */
    readonly namedRoles: string[],
  ) {}

  static async take(server: Server, session: Session, signal: AbortSignal): Promise<DumpSnapshot> {
    try {
      const [row] = (await session.query(
        `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
         SELECT pg_export_snapshot() AS id, pg_current_wal_lsn()::text AS lsn,
           to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at,
           (SELECT jsonb_agg(jsonb_build_object('name', extname, 'version', extversion) ORDER BY extname)
            FROM pg_extension) AS extensions,
           ARRAY(SELECT DISTINCT rolname::text FROM pg_shdepend JOIN pg_roles r ON r.oid = refobjid
             WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND refclassid = 'pg_authid'::regclass AND deptype IN ('a', 'r') ORDER BY 1) AS named,
           EXISTS (SELECT FROM pg_class WHERE relkind = 'r' AND relrowsecurity AND relforcerowsecurity) AS forced`,
        { signal },
      )) as [Row];
      const extensions = row['extensions'] as { name: string; version: string }[];
      const snapshot = new DumpSnapshot(
        server,
        session,
        ...([String(row['id']), String(row['at']), String(row['lsn'])] as const),
        extensions,
        row['named'] as string[],
      );
      if (row['forced'] === true) await snapshot.look(signal);
      return snapshot;
    } catch (error) {
      if (signal.aborted) throw error;
      throw serverFault(server.name, error);
    }
  }

  /** Finds out what there is to count; a dump of the snapshot need not wait for that. */
  async look(signal: AbortSignal): Promise<void> {
    this.#tables ??= await this.#guarded(() => countedTables(this.session, signal), signal);
  }

  get tables(): CountedTable[] {
    return this.#tables ?? [];
  }

  /** Tables of which the owner does not see every row. */
  get forced(): string[] {
    return this.tables.filter(({ forced }) => forced).map(({ name }) => name);
  }

  /** Once pg_dump holds its locks: before, its LOCK TABLE would wait behind a statement that waits for this count. */
  count(signal: AbortSignal): Promise<CountsBeside> {
    return this.#guarded(() => countBeside(this.session, this.tables, signal), signal);
  }

  close(): Promise<void> {
    return this.session.close();
  }

  async #guarded<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (signal.aborted) throw error;
      throw serverFault(this.server.name, error);
    }
  }
}
