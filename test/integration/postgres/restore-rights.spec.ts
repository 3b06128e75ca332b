import { type Cluster, startCluster } from '../../support/cluster.js';
import { session, sql } from '../../support/sql.js';
import { bind, never, step, tenant } from './estate.js';
import { inventory, type Recovery, recoveryOn, restore, take } from './recovery.js';

describe('the rights in a backup', () => {
  let cluster: Cluster;
  let recovery: Recovery;
  beforeAll(async () => {
    cluster = await startCluster();
    recovery = await recoveryOn(cluster);
  });
  afterAll(async () => {
    await recovery.close();
    await cluster.remove();
  });

  it('keeps the rights of bindings that are gone from standing in the way', async () => {
    const instance = await tenant(recovery, cluster, ['read-write']);
    const { names, bindings } = instance;
    const url = bindings[0]?.url ?? '';
    const gone = await bind(recovery, cluster, instance, 'read-only');
    await sql(
      url,
      `CREATE TABLE t (a int); INSERT INTO t VALUES (1); GRANT UPDATE ON t TO ${gone.role};
      ALTER DEFAULT PRIVILEGES GRANT DELETE ON TABLES TO ${gone.role}`,
    );
    const { file, facts } = await take(recovery, names);
    expect(facts.binding_roles).toContainEqual({ role: gone.role, access: 'read-only' });
    await sql(url, `DROP OWNED BY ${gone.role}`).catch(() => undefined);
    await recovery.tenants.dropBinding(names, gone.role, never);
    const before = await inventory(cluster);
    const { shadow } = await restore(recovery, names, file, { own: true, facts });
    expect(await sql(url, 'SELECT * FROM t')).toEqual([{ a: 1 }]);
    await recovery.restores.dropRestorePoint('default', shadow.restorePoint, never);
    expect(await inventory(cluster)).toEqual(before);
  });

  it('restores whatever rights the tenant has given, and names those that cannot be given anymore', async () => {
    const [{ names, bindings }, other] = await Promise.all([
      tenant(recovery, cluster, ['read-write', 'read-write', 'read-only']),
      tenant(recovery, cluster, ['read-write']),
    ]);
    const [writer, second, reader] = bindings;
    const url = writer?.url ?? '';
    const stranger = other.bindings[0]?.role ?? '';
    await sql(
      url,
      `CREATE TABLE t (a int); INSERT INTO t VALUES (1);
      GRANT SELECT ON t TO ${stranger}; GRANT UPDATE ON t TO ${second?.role} WITH GRANT OPTION;
      CREATE TABLE guarded AS SELECT 1 AS a; ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
      CREATE POLICY theirs ON guarded TO ${stranger} USING (a = 1)`,
    );
    // By its own grant option, not as the owner: the archive then wants to become that binding.
    await sql(second?.url ?? '', `SET ROLE NONE; GRANT UPDATE ON t TO ${reader?.role}`);
    const readOnly = await session(reader?.url ?? '');
    await readOnly.query('SET default_transaction_read_only = off');
    await readOnly.query('ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC');
    await readOnly.end();
    const { file, facts } = await take(recovery, names);
    expect(facts.named_roles).toContain(stranger);
    await sql(url, `REVOKE ALL ON t FROM ${stranger}; DROP POLICY theirs ON guarded`);
    await recovery.tenants.drop(other.names, [stranger], step());
    const before = await inventory(cluster);
    const { leftOut, shadow } = await restore(recovery, names, file, { own: true, facts });
    expect(leftOut).toEqual([expect.stringMatching(/^ALTER DEFAULT PRIVILEGES FOR ROLE/)]);
    expect(await sql(url, 'SELECT a FROM t')).toEqual([{ a: 1 }]);
    const may = `SELECT has_table_privilege('${reader?.role}', 't', 'UPDATE') AS may`;
    expect(await sql(url, may)).toEqual([{ may: true }]);
    await recovery.restores.dropRestorePoint('default', shadow.restorePoint, never);
    expect(await inventory(cluster)).toEqual(before);
  });

  it('keeps policies for the roles that are left, and leaves out by name those of roles that an operator has dropped', async () => {
    const { names, bindings } = await tenant(recovery, cluster, ['read-write', 'read-only']);
    const [writer, reader] = bindings;
    const url = writer?.url ?? '';
    await sql(cluster.superuserUrl(), 'CREATE ROLE reporting; CREATE ROLE "re, port"; CREATE ROLE stays');
    await sql(
      url,
      `CREATE TABLE t (a int); INSERT INTO t VALUES (1); ALTER TABLE t ENABLE ROW LEVEL SECURITY;
      CREATE POLICY gone ON t TO reporting USING (true); COMMENT ON POLICY gone ON t IS 'theirs';
      CREATE POLICY half ON t AS RESTRICTIVE FOR SELECT TO reporting, ${reader?.role}, "re, port" USING (a > 0);
      COMMENT ON POLICY half ON t IS 'of; ''both''';
      CREATE POLICY "a TO reporting USING (" ON t TO stays USING (a::text <> ' TO reporting; ') WITH CHECK (a > 1);
      CREATE POLICY everybody ON t USING (a = 1)`,
    );
    const policies = `SELECT polname::text AS name, polpermissive, polcmd, polroles::regrole[]::text[] AS roles,
      pg_get_expr(polqual, polrelid) AS visible, pg_get_expr(polwithcheck, polrelid) AS writable,
      obj_description(oid, 'pg_policy') AS comment FROM pg_policy ORDER BY 1`;
    const before = await sql(url, policies);
    expect(before).toHaveLength(4);
    const { file, facts } = await take(recovery, names);
    await sql(url, 'DROP TABLE t');
    await sql(cluster.superuserUrl(), 'DROP ROLE reporting; DROP ROLE "re, port"');
    const { leftOut, shadow } = await restore(recovery, names, file, { own: true, facts });
    expect(leftOut).toEqual([
      'POLICY gone ON public.t (role reporting does not exist)',
      'POLICY half ON public.t for reporting, "re, port" (roles reporting, "re, port" do not exist)',
    ]);
    const expected = before.filter(({ name }) => name !== 'gone');
    for (const policy of expected) if (policy['name'] === 'half') policy['roles'] = [reader?.role];
    expect(await sql(url, policies)).toEqual(expected);
    await recovery.restores.dropRestorePoint('default', shadow.restorePoint, never);
  });
});
