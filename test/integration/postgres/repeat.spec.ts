import { readFile } from 'node:fs/promises';
import { type Cluster, startCluster } from '../../support/cluster.js';
import { holding, session, sql } from '../../support/sql.js';
import { until } from '../../support/until.js';
import {
  bind,
  type Estate,
  estate,
  estateOn,
  LIMITS,
  never,
  step,
  type Tenant,
  tenant,
  twice,
  urlOf,
} from './estate.js';

describe('work on a server', () => {
  let cluster: Cluster;
  let home: Estate;
  beforeAll(async () => {
    cluster = await startCluster({ log_statement: 'all', max_prepared_transactions: 5 });
    home = estateOn(cluster);
  });
  afterAll(async () => {
    await home.servers.close();
    await cluster.remove();
  });

  const create = (names = home.tenants.drawNames('default')) =>
    home.tenants.create(names, { limits: LIMITS, extensions: ['hstore'] }, step()).then(() => names);
  /** Everything that the server knows of an instance and its bindings. */
  const picture = async ({ names, bindings }: Tenant) => {
    const roles = [names.ownerRole, names.connectRole, names.readerRole, ...bindings.map(({ role }) => role)];
    const shared = await sql(
      cluster.superuserUrl(),
      `SELECT jsonb_build_object(
         'databases', (SELECT jsonb_agg(jsonb_build_array(datname, datallowconn, datconnlimit, datacl::text, setconfig) ORDER BY 1)
            FROM pg_database d LEFT JOIN pg_db_role_setting ON setdatabase = d.oid WHERE datname = $1),
         'roles', (SELECT jsonb_agg(jsonb_build_array(rolname, rolcanlogin, rolinherit, rolconnlimit, rolconfig) ORDER BY rolname)
            FROM pg_roles WHERE rolname = ANY ($2)),
         'members', (SELECT jsonb_agg(jsonb_build_array(roleid::regrole::text, member::regrole::text) ORDER BY roleid::regrole::text, member::regrole::text)
            FROM pg_auth_members WHERE roleid::regrole::text = ANY ($2))) AS all`,
      [names.database, roles],
    );
    const there = await sql(cluster.superuserUrl(), 'SELECT FROM pg_database WHERE datname = $1', [names.database]);
    const inside = there.length
      ? await sql(
          cluster.superuserUrl(names.database),
          `SELECT jsonb_build_object('public', (SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'public'),
             'defaults', (SELECT jsonb_agg(jsonb_build_array(defaclobjtype, ARRAY(SELECT unnest(defaclacl)::text ORDER BY 1)) ORDER BY defaclobjtype) FROM pg_default_acl),
             'extensions', (SELECT jsonb_agg(extname ORDER BY extname) FROM pg_extension)) AS inside`,
        )
      : [];
    return JSON.stringify([shared, inside], null, 1);
  };

  it('tells its phases', async () => {
    const asked = step();
    const names = home.tenants.drawNames('default');
    await home.tenants.create(names, { limits: {}, extensions: [] }, asked);
    await home.tenants.drop(names, [], asked);
    expect(asked.phases).toEqual(['creating_database', 'preparing_database', 'dropping_database']);
  });

  it('stops where its phase may not be recorded', async () => {
    const names = home.tenants.drawNames('default');
    const lost = { signal: never, phase: () => Promise.reject(new Error('taken over')) };
    await expect(home.tenants.create(names, { limits: {}, extensions: [] }, lost)).rejects.toThrow('taken over');
    expect(await sql(cluster.superuserUrl(), 'SELECT FROM pg_roles WHERE rolname = $1', [names.ownerRole])).toEqual([]);
    await home.tenants.drop(names, [], step());
  });

  it('a creation that was given up and goes on has ended before the drop has', async () => {
    const names = home.tenants.drawNames('default');
    const giveUp = new AbortController();
    const creating = async () => {
      const text = `SELECT pid FROM pg_stat_activity WHERE state = 'active' AND starts_with(query, $1)`;
      const [row] = await sql(cluster.superuserUrl(), text, [`CREATE DATABASE "${names.database}"`]);
      return row?.['pid'] as number | undefined;
    };
    const { pid, dropped } = await holding(cluster.superuserUrl(), 'pg_database', async () => {
      const created = home.tenants.create(names, { limits: LIMITS, extensions: [] }, step(giveUp.signal));
      const refused = expect(created).rejects.toThrow('given up');
      const stuck = await until('the creation', creating);
      process.kill(stuck, 'SIGSTOP');
      giveUp.abort(new Error('given up'));
      await refused;
      return { pid: stuck, dropped: home.tenants.drop(names, [], step()) };
    });
    try {
      await until('the drop to wait for it', async () => {
        const text = `SELECT FROM pg_stat_activity WHERE state = 'active' AND query ~ '^SELECT pg_terminate_backend'`;
        return (await sql(cluster.brokerUrl(), text)).length > 0;
      });
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await dropped;
    expect(await creating()).toBeUndefined();
    expect(await sql(cluster.superuserUrl(), 'SELECT FROM pg_database WHERE datname = $1', [names.database])).toEqual(
      [],
    );
  });

  it('prepared transactions that an application has left do not hold up a drop', async () => {
    const instance = await tenant(home, cluster, ['read-write']);
    const client = await session(instance.bindings[0]?.url ?? '');
    await client.query(`CREATE TABLE t (a int); BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'one''s'`);
    await client.query(`SET ROLE NONE; BEGIN; SELECT lo_create(0); PREPARE TRANSACTION 'as itself'`);
    await client.end();
    const roles = instance.bindings.map(({ role }) => role);
    await home.tenants.drop(instance.names, roles, step());
    expect(await sql(cluster.superuserUrl(), 'SELECT FROM pg_prepared_xacts')).toEqual([]);
    expect(await sql(cluster.superuserUrl(), 'SELECT FROM pg_roles WHERE rolname = ANY ($1)', [roles])).toEqual([]);
  });

  it('done twice is as done once', async () => {
    const instance: Tenant = { names: await create(), bindings: [] };
    const [writer, reader] = [await bind(home, cluster, instance), await bind(home, cluster, instance, 'read-only')];
    const once = await picture(instance);
    await create(instance.names);
    for (const { role, access, password } of [writer, reader])
      await home.tenants.createBinding(instance.names, { role, access, password, limits: LIMITS }, never);
    expect(await picture(instance)).toEqual(once);
    await twice(() => home.tenants.dropBinding(instance.names, reader.role, never));
    await twice(() => home.tenants.drop(instance.names, [writer.role, reader.role], step()));
    expect(JSON.parse(await picture(instance))).toEqual([
      [{ all: { databases: null, roles: null, members: null } }],
      [],
    ]);
  });

  /** What a crash may have left of a finished instance. */
  const PARTS: [string, (tenant: Tenant) => string[]][] = [
    [
      'an empty, closed database',
      ({ names }) => [`CREATE DATABASE ${names.database} ALLOW_CONNECTIONS false TEMPLATE template0`],
    ],
    ['a role', ({ names }) => [`CREATE ROLE ${names.readerRole}`]],
    [
      'roles without their database',
      ({ names }) => [`CREATE ROLE ${names.ownerRole}`, `CREATE ROLE ${names.connectRole}`],
    ],
  ];
  it.each(PARTS)('goes on from %s, and removes it', async (_, parts) => {
    const whole = await tenant(home, cluster, [], LIMITS, ['hstore']);
    const expected = await picture(whole);
    const half: Tenant = { names: home.tenants.drawNames('default'), bindings: [] };
    const make = async () => {
      for (const text of parts(half)) await sql(cluster.brokerUrl(), text);
    };
    await make();
    await create(half.names);
    const rename = (text: string) => text.replaceAll(half.names.database.slice(1), whole.names.database.slice(1));
    expect(rename(await picture(half))).toEqual(expected);
    await home.tenants.drop(half.names, [], step());
    await make();
    await home.tenants.drop(half.names, [], step());
    expect(JSON.parse(await picture(half))).toEqual([[{ all: { databases: null, roles: null, members: null } }], []]);
  });

  it('a bind goes on from a bare role, and sets the password that it is given', async () => {
    const instance = await tenant(home, cluster);
    const role = home.tenants.drawBindingRole();
    await sql(cluster.brokerUrl(), `CREATE ROLE ${role}`);
    const password = home.tenants.drawPassword();
    await home.tenants.createBinding(instance.names, { role, access: 'read-write', password, limits: {} }, never);
    expect(
      await sql(urlOf(cluster, role, password, instance.names.database), 'SELECT current_user::text AS name'),
    ).toEqual([{ name: instance.names.ownerRole }]);
  });

  it('a bind to an instance that is not there fails and makes nothing', async () => {
    const names = home.tenants.drawNames('default');
    const role = home.tenants.drawBindingRole();
    const ask = { role, access: 'read-write' as const, password: home.tenants.drawPassword(), limits: {} };
    await expect(home.tenants.createBinding(names, ask, never)).rejects.toMatchObject({ code: 'internal' });
    expect(await sql(cluster.superuserUrl(), 'SELECT FROM pg_roles WHERE rolname = $1', [role])).toEqual([]);
  });

  it('drops with clients connected, in transactions and idle', async () => {
    const instance = await tenant(home, cluster, ['read-write', 'read-only']);
    const clients = await Promise.all(instance.bindings.map(({ url }) => session(url)));
    await clients[0]?.query('BEGIN; CREATE TABLE t (a int)');
    await home.tenants.drop(
      instance.names,
      instance.bindings.map(({ role }) => role),
      step(),
    );
    for (const client of clients) await expect(client.query('SELECT 1')).rejects.toThrow();
  });

  it('a session that the broker may not end makes a drop fail, and the drop can be repeated', async () => {
    const instance = await tenant(home, cluster);
    const superuser = await session(cluster.superuserUrl(instance.names.database));
    await expect(home.tenants.drop(instance.names, [], step())).rejects.toMatchObject({ code: 'concurrency' });
    await superuser.end();
    await home.tenants.drop(instance.names, [], step());
  });

  it('ends with its signal, queued or running, and leaves the server free', async () => {
    const names = home.tenants.drawNames('default');
    const reason = new Error('cancelled by a test');
    const locker = await session(cluster.superuserUrl());
    await locker.query('BEGIN; LOCK TABLE pg_catalog.pg_database IN EXCLUSIVE MODE');
    const controllers = Array.from({ length: 6 }, () => new AbortController());
    const works = controllers.map((controller, index) =>
      home.tenants.create(
        index === 0 ? names : home.tenants.drawNames('default'),
        { limits: {}, extensions: [] },
        step(controller.signal),
      ),
    );
    await until('four statements to wait', async () => {
      const waiting = `SELECT FROM pg_stat_activity WHERE query LIKE 'CREATE DATABASE%' AND wait_event_type = 'Lock'`;
      return (await sql(cluster.superuserUrl(), waiting)).length === 4;
    });
    controllers.forEach((controller) => controller.abort(reason));
    for (const work of works) await expect(work).rejects.toBe(reason);
    await locker.end();
    await home.tenants.create(names, { limits: {}, extensions: [] }, step());
  });

  it('ends the sessions of a dead process, of former ones, and nobody else’s', async () => {
    const node = home.runner.split('/')[0] ?? '';
    const name = (text: string) => session(cluster.brokerUrl(), { application_name: text });
    const [dead, former, foreign, own] = (await Promise.all([
      name(`broker/${node}/dead`),
      name(`broker/${node}/former`),
      name(`broker/${'z'.repeat(12)}/former`),
      name(`broker/${home.runner}`),
    ])) as [Awaited<ReturnType<typeof session>>, ...Awaited<ReturnType<typeof session>>[]];
    await dead.query('SELECT 1');
    const sleeping = dead.query('SELECT pg_sleep(60)').catch((error: Error) => error.message);
    await home.servers.endSessionsOf('default', `${node}/dead`);
    expect(await sleeping).toMatch(/terminat/);
    await former?.query('SELECT 1');
    await home.servers.endFormerSessions();
    await expect(former?.query('SELECT 1')).rejects.toThrow();
    for (const client of [foreign, own]) {
      await client?.query('SELECT 1');
      await client?.end();
    }
  });

  it('ends those of a superuser’s login by that login, and fails for nobody without it', async () => {
    const node = home.runner.split('/')[0] ?? '';
    const left = await session(cluster.superuserUrl(), { application_name: `broker/${node}/dead` });
    const sleeping = left.query('SELECT pg_sleep(60)').catch((error: Error) => error.message);
    await home.servers.endSessionsOf('default', `${node}/dead`);
    const both = estateOn(cluster, { superuser_url: cluster.superuserUrl() });
    await both.servers.endSessionsOf('default', `${node}/dead`);
    expect(await sleeping).toMatch(/terminat/);
    await both.servers.close();
  });

  it('leaves no password in the server’s log, and none but verifiers in its catalog', async () => {
    const instance = await tenant(home, cluster, ['read-write', 'read-only']);
    const log = await readFile(`${cluster.dir}.log`, 'utf8');
    expect(log).toContain(instance.bindings[0]?.role);
    for (const { password } of instance.bindings) expect(log).not.toContain(password);
    const rows = await sql(cluster.superuserUrl(), 'SELECT rolpassword FROM pg_authid WHERE rolname ~ $1', [
      '^b[a-z0-9]{19}$',
    ]);
    expect(rows.length).toBeGreaterThan(1);
    for (const { rolpassword } of rows) expect(rolpassword).toMatch(/^SCRAM-SHA-256\$4096:/);
  });

  it('tells the operator what is not as it should be', async () => {
    await sql(
      cluster.superuserUrl(),
      'REVOKE SET ON PARAMETER temp_file_limit FROM ' + new URL(cluster.brokerUrl()).username,
    );
    await sql(cluster.superuserUrl(), 'CREATE DATABASE "for all"');
    const [health] = await estateOn(cluster).servers.health();
    expect(health).toMatchObject({ name: 'default', reachable: true, accepts_new: true });
    expect(health?.version).toMatch(/^\d+\.\d+$/);
    expect(health?.warnings).toEqual([
      expect.stringContaining('temp_file_limit'),
      expect.stringContaining('every tenant may connect to database for all'),
    ]);
    const unlimited = await tenant(estateOn(cluster), cluster, ['read-write']);
    expect(await sql(unlimited.bindings[0]?.url ?? '', `SELECT current_setting('temp_file_limit') AS temp`)).toEqual([
      { temp: '-1' },
    ]);
    const entry = { name: 'default', url: cluster.brokerUrl(), superuser_url: cluster.superuserUrl() };
    const [granted] = await estate([entry]).servers.health();
    expect(granted?.warnings).toEqual([expect.stringContaining('for all')]);
  });
});
