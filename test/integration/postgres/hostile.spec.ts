import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { randomBytes } from 'node:crypto';
import { type Cluster, startCluster } from '../../support/cluster.js';
import { session, sql } from '../../support/sql.js';
import { never, type Tenant, tenant } from './estate.js';
import { checksum, fileIn, inventory, programs, type Recovery, recoveryOn, restore, tool } from './recovery.js';

/** Makes each row's text a statement that is executed; what it may not do is swallowed, so that the attack goes on. */
const EXECUTOR = (then: string) => `
  CREATE FUNCTION public.attack(text) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $f$ BEGIN ${then} RETURN true; END $f$`;
const trying = (...statements: string[]) =>
  statements.map((text) => `BEGIN EXECUTE ${quote(text)}; EXCEPTION WHEN OTHERS THEN NULL; END;`).join('\n');
/** Who owns what in a database, and who may do what with it. */
const RIGHTS = `
  SELECT oid::regclass::text AS what, relowner::regrole::text AS owner, relacl::text AS acl FROM pg_class
  UNION ALL SELECT oid::regnamespace::text, nspowner::regrole::text, nspacl::text FROM pg_namespace
  UNION ALL SELECT oid::regprocedure::text, proowner::regrole::text, proacl::text FROM pg_proc
  UNION ALL SELECT concat('default of ', defaclrole::regrole), defaclobjtype::text, defaclacl::text FROM pg_default_acl
  ORDER BY 1, 2, 3`;
const quote = (text: string) => `'${text.replaceAll("'", "''")}'`;

describe('archives made elsewhere', () => {
  let cluster: Cluster;
  let recovery: Recovery;
  let instance: Tenant;
  let other: Tenant;
  const mark = join(tmpdir(), `escaped-${randomBytes(6).toString('hex')}`);
  beforeAll(async () => {
    cluster = await startCluster();
    recovery = await recoveryOn(cluster);
    [instance, other] = await Promise.all([
      tenant(recovery, cluster, ['read-write', 'read-only']),
      tenant(recovery, cluster, ['read-write']),
    ]);
    for (const { bindings } of [instance, other])
      await sql(bindings[0]?.url ?? '', `CREATE TABLE mine AS SELECT 'living' AS text`);
  });
  afterAll(async () => {
    await recovery.close();
    await cluster.remove();
  });

  let sources = 0;
  /** An archive of a database that a superuser has made elsewhere. */
  const archive = async (text: string, args: string[] = ['-Fc'], ending = 'dump') => {
    const database = `elsewhere${++sources}`;
    await sql(cluster.superuserUrl(), `CREATE DATABASE ${database} TEMPLATE template0`);
    await sql(cluster.superuserUrl(database), text);
    const file = fileIn(recovery, ending);
    await tool(cluster, 'pg_dump', [...args, '-f', file], database);
    await sql(cluster.superuserUrl(), `DROP DATABASE ${database} WITH (FORCE)`);
    return file;
  };
  /** All that is no business of the instance that is restored: the server's roles and databases, another tenant's. */
  const surroundings = async () => {
    const { database } = instance.names;
    const known = (await inventory(cluster)).filter(({ what }) => String(what).trim() !== `setting  ${database}`);
    return {
      known,
      data: await checksum(cluster, other.names.database),
      rights: await sql(cluster.superuserUrl(other.names.database), RIGHTS),
    };
  };
  const leftovers = async () => ({
    programs: await programs(recovery, cluster),
    files: (await readdir(recovery.folder)).filter((name) => !/^\d+\.(dump|sql|tar)$|^(spool|backups)$/.test(name)),
    escaped: existsSync(mark),
  });

  let before: Awaited<ReturnType<typeof surroundings>>;
  beforeEach(async () => {
    before = await surroundings();
  });
  afterEach(async () => {
    expect(await leftovers()).toEqual({ programs: [], files: [], escaped: false });
    expect(await surroundings()).toEqual(before);
  });

  /** Whatever the restore does: nothing outside the instance's own database has changed, and nothing is left. */
  const contained = async (file: string, options: Parameters<typeof restore>[3] = {}) => {
    const known = await inventory(cluster);
    let outcome: unknown;
    try {
      const restored = await restore(recovery, instance.names, file, options);
      await recovery.restores.dropRestorePoint('default', restored.shadow.restorePoint, never);
      outcome = restored;
    } catch (error) {
      outcome = error;
    }
    expect(await inventory(cluster)).toEqual(known);
    expect(await leftovers()).toEqual({ programs: [], files: [], escaped: false });
    return outcome as { inspected: { leftOut: string[] }; leftOut: string[]; rows: number };
  };

  it('get what needs the superuser before any of their statements, and only what plan and instance allow', async () => {
    const powerful = await recoveryOn(cluster, { superuser: true });
    const fails = EXECUTOR(
      `IF current_database() !~ '^elsewhere' AND NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pageinspect') THEN RAISE 'it comes late'; END IF;`,
    );
    const watchful = await archive(
      `${fails}; CREATE TABLE t (a text); INSERT INTO t VALUES ('x'); CREATE INDEX ON t (public.attack(a))`,
    );
    const foreign = await archive('CREATE EXTENSION pageinspect; CREATE TABLE t AS SELECT 1 AS a');
    const put = async (file: string, allowed: string[], wanted: string[]) => {
      const options = { allowedExtensions: ['pageinspect'], extensions: { allowed, wanted } };
      const { shadow, rows } = await restore(powerful, instance.names, file, options);
      await powerful.restores.dropRestorePoint('default', shadow.restorePoint, never);
      return rows;
    };
    try {
      await expect(put(foreign, [], [])).rejects.toMatchObject({
        code: 'restore_failed',
        message: expect.stringContaining('permission denied to create extension') as string,
      });
      expect(await put(foreign, ['pageinspect'], [])).toBe(1);
      expect(await put(watchful, [], ['pageinspect'])).toBe(1);
    } finally {
      await powerful.close();
    }
  });

  it('run under the limit of temporary files that the living database has', async () => {
    const { database } = instance.names;
    await sql(cluster.superuserUrl(), `ALTER DATABASE ${database} SET temp_file_limit = 54321`);
    const file = await archive(`
      CREATE FUNCTION public.limited(int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $f$ BEGIN
        IF current_database() !~ '^elsewhere' AND current_setting('temp_file_limit') <> '54321kB'
        THEN RAISE EXCEPTION 'the limit is %', current_setting('temp_file_limit'); END IF;
        RETURN true; END $f$;
      CREATE TABLE public.t (a int CHECK (public.limited(a))); INSERT INTO public.t VALUES (1)`);
    expect(await contained(file)).toMatchObject({ rows: 1 });
  });

  it.each([
    [
      'by becoming the session’s role',
      [
        `SELECT set_config('role', 'none', false)`,
        `CREATE ROLE evil SUPERUSER LOGIN`,
        `ALTER ROLE CURRENT_USER SUPERUSER`,
      ],
    ],
    [
      'by the session’s authorization',
      [`SET SESSION AUTHORIZATION postgres`, `SET ROLE postgres`, `SET ROLE broker`, `CREATE ROLE evil SUPERUSER`],
    ],
    [
      'by programs and files',
      [
        `COPY (SELECT 1) TO PROGRAM 'touch ${mark}'`,
        `COPY (SELECT 1) TO '${mark}'`,
        `SELECT lo_export(lo_from_bytea(0, 'x'), '${mark}')`,
        `SELECT pg_read_file('/etc/passwd')`,
      ],
    ],
    [
      'by settings of the server',
      [
        `ALTER SYSTEM SET archive_command = 'touch ${mark}'`,
        `SELECT set_config('session_preload_libraries', '${mark}', false)`,
        `LOAD '${mark}'`,
      ],
    ],
    [
      'by a password and settings of the owner',
      [
        `ALTER ROLE CURRENT_USER PASSWORD 'known'`,
        `ALTER ROLE CURRENT_USER SET work_mem = '1GB'`,
        `ALTER ROLE CURRENT_USER LOGIN`,
      ],
    ],
    [
      'by what the login itself owns',
      [
        `SET ROLE NONE`,
        `SELECT lo_create(0)`,
        `ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC`,
        `ALTER ROLE CURRENT_USER VALID UNTIL 'infinity'`,
        `ALTER ROLE CURRENT_USER SET role = 'none'`,
      ],
    ],
    [
      'by ending others’ sessions',
      [`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()`],
    ],
    [
      'by memberships',
      [
        `SET ROLE NONE`,
        `DO $d$ DECLARE r text; BEGIN FOR r IN SELECT rolname FROM pg_roles LOOP BEGIN EXECUTE format('GRANT %I TO CURRENT_USER', r); EXCEPTION WHEN OTHERS THEN NULL; END; BEGIN EXECUTE format('GRANT %I TO %I', session_user, r); EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END $d$`,
      ],
    ],
    [
      'by other databases',
      [
        `DO $d$ DECLARE r text; BEGIN FOR r IN SELECT datname FROM pg_database LOOP BEGIN EXECUTE format('ALTER DATABASE %I RENAME TO gone', r); EXCEPTION WHEN OTHERS THEN NULL; END; BEGIN EXECUTE format('GRANT ALL ON DATABASE %I TO PUBLIC', r); EXCEPTION WHEN OTHERS THEN NULL; END; BEGIN EXECUTE format('COMMENT ON DATABASE %I IS NULL', r); EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END $d$`,
      ],
    ],
  ])('cannot escape %s', async (_how, statements) => {
    const bystander = await session(other.bindings[0]?.url ?? '');
    const file = await archive(`${EXECUTOR('')};
      CREATE TABLE public.bait (a text CHECK (public.attack(a))); INSERT INTO public.bait VALUES ('x');
      CREATE INDEX ON public.bait (public.attack(a)); CREATE MATERIALIZED VIEW public.seen AS SELECT public.attack(a) FROM public.bait;
      ${EXECUTOR(trying(...statements)).replace('CREATE FUNCTION', 'CREATE OR REPLACE FUNCTION')}`);
    const restored = await contained(file);
    expect(restored).toMatchObject({ rows: 1 });
    expect(await sql(instance.bindings[0]?.url ?? '', 'SELECT a FROM bait')).toEqual([{ a: 'x' }]);
    expect((await bystander.query('SELECT text FROM mine')).rows).toEqual([{ text: 'living' }]);
    await bystander.end();
    await expect(
      session((instance.bindings[0]?.url ?? '').replace(/\/\/[^@]+@/, `//${instance.names.ownerRole}:known@`)),
    ).rejects.toThrow();
  });

  it('cannot lend the broker’s rights to objects that it leaves behind', async () => {
    const file = await archive(`CREATE TABLE public.t (a int); INSERT INTO public.t VALUES (1);
      CREATE FUNCTION public.count() RETURNS bigint LANGUAGE sql AS 'SELECT 666::bigint';
      CREATE FUNCTION public.definer() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT current_user::text';
      CREATE FUNCTION public.format(text, name) RETURNS text LANGUAGE sql AS $$ SELECT 'DROP TABLE public.t' $$;
      CREATE OPERATOR public.= (LEFTARG = name, RIGHTARG = name, FUNCTION = nameeq)`);
    expect(await contained(file)).toMatchObject({ rows: 1 });
    const [row] = await sql(instance.bindings[0]?.url ?? '', 'SELECT public.definer() AS who');
    expect(row).toEqual({ who: instance.names.ownerRole });
  });

  it('names what it leaves out, and restores the rest', async () => {
    await sql(cluster.superuserUrl(), 'CREATE ROLE stranger; CREATE ROLE "Odd Role"');
    const file = await archive(`
      CREATE EXTENSION citext; COMMENT ON EXTENSION citext IS 'x'; CREATE EXTENSION postgres_fdw; CREATE EXTENSION pageinspect;
      CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw; CREATE USER MAPPING FOR stranger SERVER s;
      CREATE FOREIGN TABLE far (a int) SERVER s;
      CREATE TABLE t (a int, b citext); INSERT INTO t VALUES (1, 'B'); ALTER TABLE t OWNER TO stranger;
      GRANT SELECT ON t TO "Odd Role"; ALTER DEFAULT PRIVILEGES FOR ROLE stranger GRANT SELECT ON TABLES TO "Odd Role";
      ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY "only odd" ON t FOR SELECT TO "Odd Role" USING (true);
      CREATE POLICY everybody ON t USING (a > 0);
      CREATE PUBLICATION pub FOR TABLE t;
      CREATE FUNCTION native() RETURNS void LANGUAGE c AS '$libdir/pgcrypto', 'pg_digest';
      CREATE FUNCTION fired() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$;
      CREATE EVENT TRIGGER et ON ddl_command_end EXECUTE FUNCTION fired();
      CREATE ACCESS METHOD am TYPE INDEX HANDLER bthandler;
      CREATE OPERATOR FAMILY of USING btree; SET ROLE stranger; SELECT lo_from_bytea(0, 'large'); RESET ROLE`);
    const restored = await contained(file);
    expect(restored).toMatchObject({ rows: 1, leftOut: [] });
    const left = restored.inspected.leftOut.map((text) => text.replace(/ ?\(.*/, ''));
    expect(left.filter((text) => !/^\d+ grants of rights/.test(text)).sort()).toEqual(
      [
        'ACCESS METHOD am',
        'EVENT TRIGGER et',
        'EXTENSION pageinspect',
        'EXTENSION postgres_fdw',
        'FOREIGN TABLE public.far',
        'FUNCTION public.native',
        'OPERATOR FAMILY public.of',
        'POLICY public.t only odd',
        'PUBLICATION pub',
        'PUBLICATION TABLE public.pub t',
        'SERVER s',
        'USER MAPPING USER MAPPING stranger SERVER s',
      ].sort(),
    );
    expect(restored.inspected.leftOut).toContainEqual(expect.stringMatching(/^\d+ grants of rights/));
    const url = instance.bindings[1]?.url ?? '';
    expect(await sql(url, `SELECT count(*)::int AS n FROM t WHERE b = 'b'`)).toEqual([{ n: 1 }]);
    await sql(cluster.superuserUrl(), 'DROP ROLE stranger, "Odd Role"');
  });

  it('with errors does not swap in unless that is accepted', async () => {
    const file = await archive(`CREATE EXTENSION hstore; CREATE EXTENSION pageinspect; CREATE TABLE t (a int);
      CREATE VIEW v AS SELECT get_raw_page('t', 0); INSERT INTO t VALUES (1)`);
    const refused = await contained(file);
    expect(refused).toMatchObject({
      code: 'restore_failed',
      details: { errors: [expect.stringMatching(/CREATE VIEW public.v.*get_raw_page/)] },
    });
    expect(await contained(file, { acceptErrors: true })).toMatchObject({
      rows: 1,
      leftOut: [expect.stringMatching(/CREATE VIEW public.v/)],
    });
  });

  it.each([
    ['in plain SQL', ['-Fp'], 'sql', 'archive_invalid', /plain SQL/],
    ['as a tar archive', ['-Ft'], 'tar', 'archive_invalid', /tar archive/],
  ])('%s is refused', async (_what, args, ending, code, says) => {
    const file = await archive('CREATE TABLE t (a int)', args, ending);
    expect(await contained(file)).toMatchObject({ code, message: expect.stringMatching(says) as string });
  });

  it('that unpacks to more than is allowed is refused before anything is made', async () => {
    const file = await archive(`CREATE TABLE t AS SELECT repeat('0', 1000) AS a FROM generate_series(1, 20000)`);
    expect(await contained(file, { maxBytes: 1_000_000 })).toMatchObject({ code: 'archive_rejected' });
    expect(await contained(file, { maxBytes: 30_000_000 })).toMatchObject({ rows: 20_000 });
  });
});
