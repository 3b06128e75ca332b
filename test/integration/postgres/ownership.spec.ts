import { type Cluster, startCluster } from '../../support/cluster.js';
import { session, sql } from '../../support/sql.js';
import { bind, type Estate, estateOn, never, type Tenant, tenant } from './estate.js';

/** Made by one binding; what another does with it; whether it is still there. */
const OBJECTS: [kind: string, make: string, use: string, alter: string, drop: string][] = [
  [
    'table',
    'CREATE TABLE t (a int)',
    'INSERT INTO t VALUES (1); SELECT * FROM t',
    'ALTER TABLE t ADD b text',
    'DROP TABLE t',
  ],
  ['view', 'CREATE VIEW v AS SELECT 1 AS one', 'SELECT one FROM v', 'ALTER VIEW v RENAME one TO uno', 'DROP VIEW v'],
  [
    'function',
    `CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'`,
    'SELECT f()',
    'ALTER FUNCTION f() STRICT',
    'DROP FUNCTION f()',
  ],
  ['type', `CREATE TYPE e AS ENUM ('a')`, `SELECT 'a'::e`, `ALTER TYPE e ADD VALUE 'b'`, 'DROP TYPE e'],
  ['schema', 'CREATE SCHEMA s', 'CREATE TABLE s.t (a int)', 'ALTER SCHEMA s RENAME TO s2', 'DROP SCHEMA s2 CASCADE'],
  ['sequence', 'CREATE SEQUENCE q', `SELECT nextval('q')`, 'ALTER SEQUENCE q CYCLE', 'DROP SEQUENCE q'],
  [
    'partition',
    'CREATE TABLE p (a int) PARTITION BY RANGE (a); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9)',
    'INSERT INTO p VALUES (1); SELECT * FROM p1',
    'ALTER TABLE p DETACH PARTITION p1',
    'DROP TABLE p1; DROP TABLE p',
  ],
];

/** Relations, types, functions, schemas and large objects that somebody else than the instance's owner has. */
const STRAYS = (owner: string) => `
  SELECT 'relation' AS kind, relname::text AS name FROM pg_class
    WHERE oid >= 16384 AND pg_get_userbyid(relowner) <> '${owner}' AND relnamespace <> 'pg_toast'::regnamespace
  UNION ALL SELECT 'type', typname FROM pg_type WHERE oid >= 16384 AND pg_get_userbyid(typowner) <> '${owner}'
  UNION ALL SELECT 'function', proname FROM pg_proc WHERE oid >= 16384 AND pg_get_userbyid(proowner) <> '${owner}'
  UNION ALL SELECT 'schema', nspname FROM pg_namespace WHERE oid >= 16384 AND pg_get_userbyid(nspowner) <> '${owner}'
  UNION ALL SELECT 'large object', oid::text FROM pg_largeobject_metadata WHERE pg_get_userbyid(lomowner) <> '${owner}'
  UNION ALL SELECT 'default privileges', oid::text FROM pg_default_acl WHERE pg_get_userbyid(defaclrole) <> '${owner}'`;

describe('ownership within an instance', () => {
  let cluster: Cluster;
  let home: Estate;
  let instance: Tenant;
  beforeAll(async () => {
    cluster = await startCluster();
    home = estateOn(cluster);
    instance = await tenant(home, cluster, ['read-write', 'read-write']);
  });
  afterAll(async () => {
    await home.servers.close();
    await cluster.remove();
  });

  const strays = () => sql(cluster.superuserUrl(instance.names.database), STRAYS(instance.names.ownerRole));
  const exists = (role: string) => sql(cluster.superuserUrl(), 'SELECT FROM pg_roles WHERE rolname = $1', [role]);

  it.each(OBJECTS)(
    'a %s made by one binding is used, altered and dropped by another',
    async (_, make, use, alter, drop) => {
      const [a, b] = instance.bindings.map(({ url }) => url) as [string, string];
      await sql(a, make);
      expect(await strays()).toEqual([]);
      for (const text of [use, alter, drop]) await sql(b, text);
    },
  );

  it('everything stays and is the owner’s after its maker is unbound', async () => {
    const maker = await bind(home, cluster, instance);
    for (const [, make] of OBJECTS) await sql(maker.url, make);
    await sql(maker.url, 'INSERT INTO t VALUES (42)');
    await home.tenants.dropBinding(instance.names, maker.role, never);
    expect(await exists(maker.role)).toEqual([]);
    expect(await strays()).toEqual([]);
    const url = instance.bindings[0]?.url ?? '';
    expect(await sql(url, 'SELECT a FROM t')).toEqual([{ a: 42 }]);
    for (const [, , use, alter, drop] of OBJECTS) for (const text of [use, alter, drop]) await sql(url, text);
  });

  it('RESET ROLE, RESET ALL and DISCARD ALL leave the session the owner', async () => {
    const client = await session(instance.bindings[0]?.url ?? '');
    for (const text of ['RESET ROLE', 'RESET ALL', 'DISCARD ALL']) {
      await client.query(text);
      expect((await client.query('SELECT current_user::text AS name')).rows).toEqual([
        { name: instance.names.ownerRole },
      ]);
    }
    await client.query('SET ROLE NONE');
    await expect(client.query('CREATE TABLE public.mine (a int)')).rejects.toThrow(/permission denied/);
    await client.end();
  });

  it('large objects, default privileges and rights of a binding that left its role do not hold it', async () => {
    const maker = await bind(home, cluster, instance);
    const other = instance.bindings[0]?.url ?? '';
    await sql(other, `CREATE TABLE granted (a int); GRANT SELECT ON granted TO ${maker.role}`);
    await sql(
      maker.url,
      'SET ROLE NONE; SELECT lo_create(4711); ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC',
    );
    expect((await strays()).map(({ kind }) => kind).sort()).toEqual(['default privileges', 'large object']);
    await home.tenants.dropBinding(instance.names, maker.role, never);
    expect(await exists(maker.role)).toEqual([]);
    expect(await strays()).toEqual([]);
    expect(await sql(other, 'SELECT lo_unlink(4711)')).toEqual([{ lo_unlink: 1 }]);
    await sql(other, 'DROP TABLE granted');
  });

  it('unbinding ends the sessions of the binding, in a transaction too, and only those', async () => {
    const leaving = await bind(home, cluster, instance);
    const staying = await session(instance.bindings[0]?.url ?? '');
    const idle = await session(leaving.url);
    const busy = await session(leaving.url);
    await idle.query('CREATE TABLE kept (a int)');
    await busy.query('BEGIN; CREATE TABLE undone (a int); SELECT lo_create(0)');
    await home.tenants.dropBinding(instance.names, leaving.role, never);
    for (const client of [idle, busy]) await expect(client.query('SELECT 1')).rejects.toThrow();
    await expect(session(leaving.url)).rejects.toThrow(/authentication failed|does not exist|not permitted/);
    const { rows } = await staying.query(`SELECT to_regclass('kept')::text AS kept, to_regclass('undone') AS undone`);
    expect(rows).toEqual([{ kept: 'kept', undone: null }]);
    await staying.query('DROP TABLE kept');
    await staying.end();
    expect(await exists(leaving.role)).toEqual([]);
    expect(await strays()).toEqual([]);
  });
});
