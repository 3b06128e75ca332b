import { type Cluster, startCluster } from '../../support/cluster.js';
import { session, sql } from '../../support/sql.js';
import { bind, type Estate, estateOn, type Tenant, tenant } from './estate.js';

describe('isolation of tenants', () => {
  let cluster: Cluster;
  let home: Estate;
  let mine: Tenant;
  let other: Tenant;
  let url: string;
  beforeAll(async () => {
    cluster = await startCluster();
    home = estateOn(cluster);
    [mine, other] = await Promise.all([
      tenant(home, cluster, ['read-write', 'read-only']),
      tenant(home, cluster, ['read-write', 'read-only']),
    ]);
    url = mine.bindings[0]?.url ?? '';
  });
  afterAll(async () => {
    await home.servers.close();
    await cluster.remove();
  });

  it.each(['read-write', 'read-only'] as const)('a %s binding connects to its own database only', async (access) => {
    const binding = mine.bindings.find((each) => each.access === access);
    for (const database of [other.names.database, 'postgres', 'template1', 'broker_state', 'template0']) {
      const elsewhere = (binding?.url ?? '').replace(mine.names.database, database);
      await expect(session(elsewhere)).rejects.toThrow(/permission denied for database|not currently accepting/);
    }
    await expect(session(binding?.url ?? '').then((client) => client.end())).resolves.toBeUndefined();
  });

  it.each(['read-write', 'read-only'] as const)(
    'a %s binding sees the size of its own database only',
    async (access) => {
      const binding = mine.bindings.find((each) => each.access === access)?.url ?? '';
      const [row] = await sql(binding, 'SELECT pg_database_size(current_database())::int AS bytes');
      expect(row?.['bytes']).toBeGreaterThan(0);
      const others = sql(binding, 'SELECT pg_database_size($1)', [other.names.database]);
      await expect(others).rejects.toThrow(/permission denied for database/);
    },
  );

  it('shows nobody else’s statements', async () => {
    const busy = await session(other.bindings[0]?.url ?? '');
    await busy.query(`SELECT 'a secret of the other'`);
    for (const { url } of mine.bindings) {
      const seen = JSON.stringify(await sql(url, 'SELECT * FROM pg_stat_activity'));
      expect(seen).toContain(other.names.database);
      expect(seen).not.toContain('a secret of the other');
    }
    await busy.end();
  });

  it('gives names that tell nothing', () => {
    for (const name of [...Object.values<string>({ ...mine.names }), ...mine.bindings.map(({ role }) => role)])
      expect(name).toMatch(/^(default|[dbocr][a-z0-9]{19})$/);
  });

  it.each([
    ['make a role', 'CREATE ROLE evil'],
    ['make a database', 'CREATE DATABASE evil'],
    ['raise the connections of its role', 'ALTER ROLE CURRENT_USER CONNECTION LIMIT 1000'],
    ['raise the connections of its login', 'ALTER ROLE SESSION_USER CONNECTION LIMIT 1000'],
    ['raise the connections of its database', 'ALTER DATABASE $d CONNECTION LIMIT 1000'],
    ['rename its database', 'ALTER DATABASE $d RENAME TO evil'],
    ['drop its database', 'DROP DATABASE $d'],
    ['change the settings of its database', 'ALTER DATABASE $d RESET statement_timeout'],
    ['raise its temporary files', `SET temp_file_limit = '1GB'`],
    ['raise the temporary files of its login', `ALTER ROLE SESSION_USER SET temp_file_limit = -1`],
    ['make its login a maker of roles', 'ALTER ROLE SESSION_USER CREATEROLE'],
    ['become the broker', 'SET ROLE $broker'],
    ['become another tenant', 'SET ROLE $other'],
    ['make the owner log in', 'ALTER ROLE $own LOGIN'],
    ['give another tenant a place in its roles', 'GRANT $own TO $other'],
    ['end the broker’s sessions', `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '$broker'`],
    ['run programs', `COPY (SELECT 1) TO PROGRAM 'true'`],
    ['read files', `SELECT pg_read_file('postgresql.conf')`],
    ['make an untrusted extension', 'CREATE EXTENSION pg_stat_statements SCHEMA public'],
    ['read password verifiers', 'SELECT * FROM pg_authid'],
  ])('an application cannot %s', async (_, statement) => {
    const broker = new URL(cluster.brokerUrl()).username;
    const text = statement
      .replace('$d', mine.names.database)
      .replace('$broker', broker)
      .replace('$own', mine.names.ownerRole)
      .replace('$other', other.names.ownerRole);
    const refused = /permission denied|must be|must have/;
    for (const { url } of mine.bindings) {
      const client = await session(url);
      await client.query('SET default_transaction_read_only = off');
      for (const before of ['RESET ROLE', 'SET ROLE NONE']) {
        await client.query(before);
        await expect(client.query(text)).rejects.toThrow(refused);
      }
      await client.end();
    }
  });

  it('an application cannot open its database to everybody', async () => {
    const rights = () =>
      sql(cluster.superuserUrl(), 'SELECT datacl::text FROM pg_database WHERE datname = $1', [mine.names.database]);
    const before = await rights();
    for (const { url } of mine.bindings) {
      const client = await session(url);
      await client.query('SET default_transaction_read_only = off');
      await client.query(`GRANT ALL ON DATABASE ${mine.names.database} TO PUBLIC`);
      await client.end();
    }
    expect(await rights()).toEqual(before);
  });

  it('holds each binding to the plan’s connections and leaves the broker room', async () => {
    const small = await tenant(home, cluster, ['read-write', 'read-write'], { connections: 2 });
    const clients = [];
    for (const binding of small.bindings) {
      clients.push(await session(binding.url), await session(binding.url));
      await expect(session(binding.url)).rejects.toThrow(/too many connections for role/);
    }
    await bind(home, cluster, small, 'read-only', { connections: 2 });
    await Promise.all(clients.map((client) => client.end()));
  });

  it('lets a session use no more temporary files than the plan says', async () => {
    await sql(url, `SET work_mem = '64kB'`);
    const sort = `SET work_mem = '64kB'; SELECT count(*) FROM (SELECT n FROM generate_series(1, 300000) n ORDER BY md5(n::text)) s`;
    await expect(sql(url, sort)).rejects.toThrow(/temporary file size exceeds/);
  });
});

describe('read-only bindings', () => {
  let cluster: Cluster;
  let home: Estate;
  let instance: Tenant;
  let writer: string;
  let reader: string;
  beforeAll(async () => {
    cluster = await startCluster();
    home = estateOn(cluster);
    instance = await tenant(home, cluster, ['read-write', 'read-only']);
    [writer, reader] = instance.bindings.map((binding) => binding.url) as [string, string];
    await sql(writer, 'CREATE TABLE t (a int); INSERT INTO t VALUES (1)');
  });
  afterAll(async () => {
    await home.servers.close();
    await cluster.remove();
  });

  it('read what is made later, in schemas made later', async () => {
    await sql(
      writer,
      `CREATE SCHEMA "Later's"; CREATE TABLE "Later's"."T" (a serial); CREATE VIEW "Later's".v AS SELECT 7 AS n;
       CREATE MATERIALIZED VIEW "Later's".m AS SELECT 8 AS n`,
    );
    expect(await sql(reader, 'SELECT a FROM t')).toEqual([{ a: 1 }]);
    expect(await sql(reader, `SELECT a FROM "Later's"."T"`)).toEqual([]);
    expect(await sql(reader, `SELECT v.n + m.n AS n FROM "Later's".v v, "Later's".m m`)).toEqual([{ n: 15 }]);
    expect(await sql(reader, `SELECT last_value::int AS n FROM "Later's"."T_a_seq"`)).toEqual([{ n: 1 }]);
  });

  it('read what had lost its rights when they were bound, and what comes then', async () => {
    const { readerRole } = instance.names;
    await sql(
      writer,
      `CREATE SCHEMA "a""b"; CREATE TABLE "a""b"."x""y" AS SELECT 5 AS n; REVOKE ALL ON SCHEMA "a""b" FROM ${readerRole};
       REVOKE ALL ON ALL TABLES IN SCHEMA "a""b" FROM ${readerRole};
       ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM ${readerRole}`,
    );
    const { url } = await bind(home, cluster, instance, 'read-only');
    await sql(writer, `CREATE TABLE "a""b".z AS SELECT 6 AS n`);
    expect(await sql(url, `SELECT y.n + z.n AS n FROM "a""b"."x""y" y, "a""b".z z`)).toEqual([{ n: 11 }]);
  });

  it.each([
    'INSERT INTO t VALUES (2)',
    'UPDATE t SET a = 2',
    'DELETE FROM t',
    'TRUNCATE t',
    'CREATE TABLE mine (a int)',
    'CREATE TEMP TABLE mine (a int)',
    'CREATE SCHEMA mine',
    'CREATE VIEW mine AS SELECT 1',
    'ALTER TABLE t ADD b int',
    'DROP TABLE t',
    'GRANT SELECT ON t TO PUBLIC',
    'SET ROLE $own',
    'SET ROLE $con',
    `SET SESSION AUTHORIZATION $own`,
  ])('cannot %s, even after allowing itself to write', async (statement) => {
    const text = statement.replace('$own', instance.names.ownerRole).replace('$con', instance.names.connectRole);
    const client = await session(reader);
    await client.query('SET default_transaction_read_only = off; SET ROLE NONE');
    const before = await sql(writer, 'SELECT relacl, (SELECT sum(a) FROM t) FROM pg_class WHERE relname = $1', ['t']);
    // A GRANT of what one does not have is refused or grants nothing.
    await client.query(text).catch((error: Error) => expect(error.message).toMatch(/permission denied|must be owner/));
    expect(await sql(writer, 'SELECT relacl, (SELECT sum(a) FROM t) FROM pg_class WHERE relname = $1', ['t'])).toEqual(
      before,
    );
    expect((await client.query('SELECT current_user = session_user AS self')).rows).toEqual([{ self: true }]);
    await client.end();
  });

  it('leave nothing when they are unbound', async () => {
    const leaving = await bind(home, cluster, instance, 'read-only');
    await sql(leaving.url, 'SET default_transaction_read_only = off; SELECT lo_create(99)');
    await home.tenants.dropBinding(instance.names, leaving.role, new AbortController().signal);
    expect(await sql(cluster.superuserUrl(), 'SELECT FROM pg_roles WHERE rolname = $1', [leaving.role])).toEqual([]);
  });
});
