import { type Cluster, startCluster } from '../../support/cluster.js';
import { session, sql } from '../../support/sql.js';
import { bind, type Estate, estateOn, never, step, type Tenant, tenant } from './estate.js';
import { inventory } from './recovery.js';

describe('rights that one tenant gives to the roles of another', () => {
  let cluster: Cluster;
  let home: Estate;
  let hostile: Tenant;
  beforeAll(async () => {
    cluster = await startCluster();
    home = estateOn(cluster);
    hostile = await tenant(home, cluster, ['read-write', 'read-only']);
    await sql(url(), 'CREATE TABLE bait (a int); ALTER TABLE bait ENABLE ROW LEVEL SECURITY');
  });
  afterAll(async () => {
    await home.servers.close();
    await cluster.remove();
  });

  const url = () => hostile.bindings[0]?.url ?? '';

  /** Every kind of right that a tenant can give to a role that it knows by name only. */
  const give = async ({ names, bindings }: Tenant) => {
    const roles = [names.ownerRole, names.connectRole, names.readerRole, ...bindings.map(({ role }) => role)];
    for (const role of roles)
      await sql(
        url(),
        `GRANT ALL ON bait TO ${role}; GRANT USAGE ON SCHEMA public TO ${role};
         ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO ${role}; CREATE POLICY ${role} ON bait TO ${role} USING (true);
         SET ROLE NONE; ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO ${role};
         DO $$ BEGIN EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO ${role}', lo_create(0)); END $$`,
      );
    return roles;
  };
  const present = (roles: string[]) =>
    sql(cluster.superuserUrl(), 'SELECT rolname FROM pg_roles WHERE rolname = ANY ($1)', [roles]);

  it('do not hold up unbind and deprovision, and go with the roles', async () => {
    const before = await inventory(cluster);
    const victim = await tenant(home, cluster, ['read-write', 'read-only', 'read-write']);
    const roles = await give(victim);
    await home.tenants.dropBinding(victim.names, String(victim.bindings[0]?.role), never);
    await home.tenants.dropBinding(victim.names, String(victim.bindings[1]?.role), never);
    await home.tenants.drop(victim.names, [String(victim.bindings[2]?.role)], step());
    expect(await present(roles)).toEqual([]);
    expect(await inventory(cluster)).toEqual(before);
    expect(await sql(url(), 'SELECT count(*)::int AS n FROM pg_policy')).toEqual([{ n: 0 }]);
  });

  it('do so neither where the database that they are in takes no connection', async () => {
    const before = await inventory(cluster);
    const victim = await tenant(home, cluster, ['read-write', 'read-only']);
    const staying = await tenant(home, cluster);
    const leaving = await bind(home, cluster, staying);
    const roles = [...(await give(victim)), ...(await give(staying))];
    const closed = (limit: number) =>
      sql(cluster.superuserUrl(), `ALTER DATABASE ${hostile.names.database} CONNECTION LIMIT ${limit}`);
    await closed(0);
    await home.tenants.dropBinding(staying.names, leaving.role, never);
    await expect(session(leaving.url)).rejects.toThrow();
    await home.tenants.drop(
      victim.names,
      victim.bindings.map(({ role }) => role),
      step(),
    );
    expect(await present(roles.filter((role) => !Object.values(staying.names).includes(role)))).toEqual([]);
    const left = () =>
      sql(
        cluster.superuserUrl(),
        `SELECT rolname, rolcanlogin, (SELECT count(*)::int FROM pg_auth_members WHERE member = r.oid) AS groups
         FROM pg_roles r WHERE rolname ~ '^l[a-z0-9]{19}$'`,
      );
    expect((await left()).map(({ rolcanlogin, groups }) => [rolcanlogin, groups])).toEqual(
      Array.from({ length: 6 }, () => [false, 0]),
    );
    await home.tenants.create(victim.names, { limits: {}, extensions: [] }, step());
    await home.tenants.dropLeftRoles('default', never);
    expect(await left()).toHaveLength(6);
    await closed(8);
    await home.tenants.dropLeftRoles('default', never);
    expect(await left()).toEqual([]);
    for (const { names } of [victim, staying]) await home.tenants.drop(names, [], step());
    expect(await inventory(cluster)).toEqual(before);
  }, 60_000);
});
