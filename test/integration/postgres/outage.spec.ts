import { readdirSync, readFileSync } from 'node:fs';
import { type Cluster, startCluster } from '../../support/cluster.js';
import { session, sql } from '../../support/sql.js';
import { until } from '../../support/until.js';
import { bind, type Estate, estate, estateOn, LIMITS, never, step, type Tenant, tenant } from './estate.js';

const UNREACHABLE = {
  code: 'server_unreachable',
  status: 503,
  retryAfter: expect.any(Number) as number,
  message: expect.stringMatching(/^server default /) as string,
};

/** Fails when `work` is not over after the 10 s that a caller is promised. */
function promptly<T>(work: Promise<T>): Promise<T> {
  let limit: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    limit = setTimeout(() => reject(new Error('not over after 10 s')), 10_000);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(limit));
}

describe('a server that fails', () => {
  let cluster: Cluster;
  let home: Estate;
  let instance: Tenant;
  beforeAll(async () => {
    cluster = await startCluster();
    home = estateOn(cluster, { max_connections: 4 });
    instance = await tenant(home, cluster, ['read-write'], LIMITS);
  });
  afterAll(async () => {
    await home.servers.close();
    await cluster.remove();
  });

  it('a statement that takes too long is ended, and bothers nobody else', async () => {
    const { sessions } = home.servers.server('default');
    const slow = sessions.inDatabase(instance.names.database, never, (own) =>
      own.query('SELECT pg_sleep(60)', { limitMs: 50 }),
    );
    await expect(slow).rejects.toMatchObject({ ...UNREACHABLE, message: 'server default did not answer in time' });
    expect(await sessions.query('SELECT 1 AS one', {})).toEqual([{ one: 1 }]);
    await until('the statement to end', async () => {
      const rows = await sql(cluster.superuserUrl(), `SELECT FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)'`);
      return rows.length === 0;
    });
  });

  const everyCall = (): Promise<unknown>[] => {
    const { names, bindings } = instance;
    const password = home.tenants.drawPassword();
    const role = home.tenants.drawBindingRole();
    return [
      home.tenants.create(home.tenants.drawNames('default'), { limits: {}, extensions: ['hstore'] }, step()),
      home.tenants.drop(home.tenants.drawNames('default'), [role], step()),
      home.tenants.applyLimits(names, LIMITS, bindings, step()),
      home.tenants.setExtensions(names, ['hstore'], [], step()),
      home.tenants.createBinding(names, { role, access: 'read-write', password, limits: {} }, never),
      home.tenants.createBinding(names, { role, access: 'read-only', password, limits: {} }, never),
      home.tenants.dropBinding(names, role, never),
      home.tenants.assertLocale('default', 'de-DE'),
      home.servers.endSessionsOf('default', 'a/b'),
    ];
  };
  const allFail = () =>
    Promise.all(everyCall().map((call) => expect(promptly(call)).rejects.toMatchObject(UNREACHABLE)));
  /** Nobody tells the broker that the server is back. */
  const recovers = async () => {
    await until('the server to be usable', () =>
      bind(home, cluster, instance).then(
        () => true,
        () => false,
      ),
    );
    const made = await tenant(home, cluster, ['read-write', 'read-only'], LIMITS);
    await home.tenants.drop(
      made.names,
      made.bindings.map(({ role }) => role),
      step(),
    );
    await until('health to be good again', async () => (await home.servers.health())[0]?.reachable);
  };

  it.each(['fast', 'immediate'] as const)(
    'stopped (%s): every call says so, and works again when it is back',
    async (mode) => {
      await cluster.stop(mode);
      await allFail();
      await until('health to say so', async () => (await home.servers.health())[0]?.reachable === false);
      await expect(home.servers.place(new Map())).rejects.toMatchObject({ code: 'server_unreachable' });
      await cluster.start();
      await recovers();
    },
  );

  it('lost in the middle of work: nothing is half done that cannot be done again', async () => {
    const names = home.tenants.drawNames('default');
    const locker = await session(cluster.superuserUrl());
    await locker.query('BEGIN; LOCK TABLE pg_catalog.pg_authid IN EXCLUSIVE MODE');
    const making = home.tenants.create(names, { limits: LIMITS, extensions: [] }, step());
    const failing = expect(promptly(making)).rejects.toMatchObject(UNREACHABLE);
    await until('the work to wait', async () => {
      const waiting = `SELECT FROM pg_stat_activity WHERE query LIKE 'CREATE ROLE%' AND wait_event_type = 'Lock'`;
      return (await sql(cluster.superuserUrl(), waiting)).length > 0;
    });
    await cluster.kill();
    await failing;
    await cluster.start();
    await recovers();
    await home.tenants.create(names, { limits: LIMITS, extensions: [] }, step());
    await bind(home, cluster, { names, bindings: [] });
    await home.tenants.drop(names, [], step());
  });

  it.each(['all of it', 'only what accepts connections'])(
    'hanging (%s): every call says so, and works again',
    async (part) => {
      const busy = await session(cluster.superuserUrl());
      const pids = part === 'all of it' ? [cluster.pid, ...childrenOf(cluster.pid)] : [cluster.pid];
      // What rests of earlier work would serve: this is about sessions that are yet to be opened.
      if (part !== 'all of it') await home.servers.close();
      if (part !== 'all of it') home = estateOn(cluster, { max_connections: 4 });
      pids.forEach((pid) => process.kill(pid, 'SIGSTOP'));
      try {
        await allFail();
        expect(await promptly(home.servers.health())).toMatchObject([{ name: 'default', reachable: false }]);
      } finally {
        pids.forEach((pid) => process.kill(pid, 'SIGCONT'));
      }
      await recovers();
      await busy.end();
    },
  );

  it('leaves no session behind', async () => {
    await home.servers.close();
    const broker = new URL(cluster.brokerUrl()).username;
    await until('the sessions to be gone', async () => {
      const left = await sql(cluster.superuserUrl(), 'SELECT FROM pg_stat_activity WHERE usename = $1', [broker]);
      return left.length === 0;
    });
    await expect(home.servers.endSessionsOf('default', 'a/b')).rejects.toMatchObject({ code: 'stopping' });
  });

  it('refusing the broker’s login, or with no place left: as one that is down', async () => {
    const url = cluster.brokerUrl();
    const wrong = estate([{ name: 'default', url: url.replace(/:[^:@]+@/, ':wrong@') }]);
    await expect(wrong.servers.endSessionsOf('default', 'a/b')).rejects.toMatchObject(UNREACHABLE);
    const [health] = await wrong.servers.health();
    expect(health).toMatchObject({ reachable: false, error: expect.stringContaining('login') as string });
    const { username } = new URL(url);
    await sql(cluster.superuserUrl(), `ALTER ROLE ${username} CONNECTION LIMIT 0`);
    const full = estateOn(cluster);
    await expect(full.servers.endSessionsOf('default', 'a/b')).rejects.toMatchObject(UNREACHABLE);
    await sql(cluster.superuserUrl(), `ALTER ROLE ${username} CONNECTION LIMIT -1`);
    await full.servers.endSessionsOf('default', 'a/b');
    await full.servers.close();
  });

  describe('beside others', () => {
    const nowhere = 'postgres://nobody:x@127.0.0.1:1/postgres';

    it('new instances go to the least loaded one for its weight that accepts them and answers', async () => {
      const url = cluster.brokerUrl();
      const { servers } = estate([
        { name: 'down', url: nowhere, weight: 100 },
        { name: 'a', url },
        { name: 'b', url, weight: 2 },
        { name: 'closed', url, weight: 100, accepts_new: false },
      ]);
      expect(servers.names).toEqual(['down', 'a', 'b', 'closed']);
      expect(await servers.place(new Map())).toBe('b');
      expect(await servers.place(new Map([['b', 1]]))).toBe('a');
      expect(
        await servers.place(
          new Map([
            ['b', 3],
            ['a', 2],
          ]),
        ),
      ).toBe('b');
      expect(
        (await servers.health()).map(({ name, reachable, accepts_new }) => [name, reachable, accepts_new]),
      ).toEqual([
        ['down', false, true],
        ['a', true, true],
        ['b', true, true],
        ['closed', true, false],
      ]);
      await servers.close();
    });

    it('where none accepts new ones, or none of these answers, that is said', async () => {
      const { servers } = estate([{ name: 'closed', url: nowhere, accepts_new: false }]);
      await expect(servers.place(new Map())).rejects.toMatchObject({ code: 'server_full' });
      const { servers: down } = estate([{ name: 'down', url: nowhere }]);
      await expect(down.place(new Map())).rejects.toMatchObject({ code: 'server_unreachable' });
    });

    it('one that is no longer configured is named', () => {
      const { servers } = estate([{ name: 'a', url: nowhere }]);
      expect(() => servers.endpoint('former')).toThrow('server former is no longer configured');
    });
  });
});

function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .filter((pid) => {
      try {
        return Number(/\) . (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1]) === parent;
      } catch {
        return false;
      }
    })
    .map(Number);
}
