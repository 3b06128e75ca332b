import { type Cluster, startCluster } from '../../support/cluster.js';
import { session, sql } from '../../support/sql.js';
import { until } from '../../support/until.js';
import { type SwapIntent } from '../../../src/postgres/swap.js';
import { bind, LIMITS, never, step, type Tenant, tenant } from './estate.js';
import { checksum, inventory, type Recovery, recoveryOn, restore, take } from './recovery.js';

describe('swap', () => {
  let cluster: Cluster;
  let recovery: Recovery;
  let instance: Tenant;
  let url: string;
  let file: string;
  beforeAll(async () => {
    cluster = await startCluster({ max_prepared_transactions: 5 });
    recovery = await recoveryOn(cluster);
    instance = await tenant(recovery, cluster, ['read-write', 'read-only']);
    url = instance.bindings[0]?.url ?? '';
    await sql(url, `CREATE TABLE t AS SELECT 'old' AS version`);
    ({ file } = await take(recovery, instance.names));
  });
  afterAll(async () => {
    await recovery.close();
    await cluster.remove();
  });

  const asSuperuser = (text: string, database?: string) => sql(cluster.superuserUrl(database), text);
  const version = async () => (await sql(url, 'SELECT version FROM t'))[0]?.['version'];
  const write = (text: string) => sql(url, `UPDATE t SET version = '${text}'`);
  const record = () => Promise.resolve();

  it('keeps limits, settings, rights and comment with the name; undo and the undo of it too', async () => {
    const { names, bindings } = instance;
    const database = names.database;
    await asSuperuser(`
      ALTER DATABASE ${database} SET search_path TO "$user", public, "a ""b, c";
      ALTER DATABASE ${database} SET my.odd TO 'it''s, "so"';
      ALTER DATABASE ${database} SET log_min_messages TO error;
      ALTER ROLE ${bindings[0]?.role} IN DATABASE ${database} SET work_mem TO '5MB';
      COMMENT ON DATABASE ${database} IS 'it''s mine'; CREATE ROLE operator NOLOGIN;
      GRANT CONNECT ON DATABASE ${database} TO operator WITH GRANT OPTION`);
    // The order of settings and grants says nothing.
    const sorted = (text: unknown) => [...String(text)].sort().join('');
    const traits = async () =>
      (await inventory(cluster))
        .map(({ what, how }) => ({ what, how: sorted(how) }))
        .filter(({ what }) => String(what).includes(database) && !String(what).startsWith('session'));
    const settle = () =>
      asSuperuser(`ALTER DATABASE ${database} SET log_min_messages TO error;
        ALTER DATABASE ${database} SET my.odd TO 'it''s, "so"'`);
    const before = await traits();
    await write('new');
    const { shadow, swapLeftOut } = await restore(recovery, names, file, { own: true });
    expect([...swapLeftOut].sort()).toEqual([
      'setting log_min_messages of the database',
      'setting my.odd of the database',
    ]);
    await settle();
    expect(await traits()).toEqual(before);
    expect(await version()).toBe('old');
    const settings = await sql(
      url,
      `SELECT current_setting('search_path') AS path, current_setting('my.odd') AS odd, current_setting('work_mem') AS mem`,
    );
    expect(settings).toEqual([{ path: '"$user", public, "a ""b, c"', odd: `it's, "so"`, mem: '5MB' }]);
    await expect(session(url.replace(database, shadow.restorePoint))).rejects.toThrow(/permission denied for database/);

    await recovery.tenants.applyLimits(names, { ...LIMITS, connections: 7 }, bindings, step());
    const limited = await traits();
    const late = await bind(recovery, cluster, instance, 'read-only');
    let incoming = shadow.restorePoint;
    for (const expected of ['new', 'old', 'new']) {
      const outgoing = recovery.restores.drawRestorePoint();
      await recovery.restores.swap(names, { incoming, outgoing }, record, never);
      expect(await version()).toBe(expected);
      expect((await sql(late.url, 'SELECT version FROM t'))[0]).toEqual({ version: expected });
      await settle();
      expect(await traits()).toEqual(limited);
      incoming = outgoing;
    }
    await recovery.restores.dropRestorePoint('default', incoming, never);
    const left = (await asSuperuser('SELECT datname FROM pg_database')).map(({ datname }) => String(datname));
    expect(left.filter((name) => /^[sp][a-z0-9]{19}$/.test(name))).toEqual([]);
  });

  it('with a superuser’s login takes along what only a superuser may set', async () => {
    const powerful = await recoveryOn(cluster, { superuser: true });
    const { shadow, swapLeftOut } = await restore(powerful, instance.names, file, { own: true });
    expect(swapLeftOut).toEqual([]);
    expect(await sql(url, `SELECT current_setting('log_min_messages') AS level`)).toEqual([{ level: 'error' }]);
    await powerful.restores.dropRestorePoint('default', shadow.restorePoint, never);
    await powerful.close();
  });

  it('lets no client see old data after new, and goes through while clients reconnect', async () => {
    await write('before');
    let going = true;
    const client = async () => {
      const seen: string[] = [];
      while (going) {
        const connected = await session(url).catch(() => undefined);
        while (going && connected) {
          const answer = await connected.query<{ version: string }>('SELECT version FROM t').catch(() => undefined);
          if (answer === undefined) break;
          seen.push(answer.rows[0]?.version ?? '');
        }
        await connected?.end().catch(() => undefined);
        await new Promise((resolve) => setImmediate(resolve));
      }
      return seen;
    };
    const clients = Array.from({ length: 4 }, client);
    try {
      const { shadow, outageMs } = await restore(recovery, instance.names, file, { own: true });
      expect(outageMs).toBeGreaterThan(0);
      await until('clients to be back', () =>
        version().then(
          (text) => text === 'old',
          () => false,
        ),
      );
      await recovery.restores.dropRestorePoint('default', shadow.restorePoint, never);
    } finally {
      going = false;
    }
    for (const seen of await Promise.all(clients)) {
      expect(seen.filter((each) => !['before', 'old'].includes(each))).toEqual([]);
      const firstNew = seen.indexOf('old');
      if (firstNew >= 0) expect(seen.slice(firstNew)).not.toContain('before');
    }
  });

  describe('that fails', () => {
    const untouched = async (work: () => Promise<unknown>) => {
      await write('living');
      const busy = await session(url);
      const before = [await inventory(cluster), await checksum(cluster, instance.names.database)];
      await work();
      expect((await busy.query('SELECT version FROM t')).rows).toEqual([{ version: 'living' }]);
      expect([await inventory(cluster), await checksum(cluster, instance.names.database)]).toEqual(before);
      await busy.end();
    };
    const attempt = () => restore(recovery, instance.names, file, { own: true });

    it('for a session of a superuser ends nobody’s', () =>
      untouched(async () => {
        const superuser = await session(cluster.superuserUrl(instance.names.database));
        await expect(attempt()).rejects.toMatchObject({ code: 'database_in_use' });
        await superuser.end();
      }));

    it('for a prepared transaction ends nobody’s', () =>
      untouched(async () => {
        const other = await session(url);
        await other.query(`BEGIN; CREATE TABLE prepared (a int); PREPARE TRANSACTION 'left behind'`);
        await expect(attempt()).rejects.toMatchObject({
          code: 'database_in_use',
          message: expect.stringContaining('left behind') as string,
        });
        await other.query(`ROLLBACK PREPARED 'left behind'`);
        await other.end();
      }));

    it('because the intent could not be recorded', () =>
      untouched(async () => {
        const shadow = recovery.restores.drawNames();
        const { list, uncompressedBytes } = await recovery.archives.inspect(
          file,
          { own: true, allowedExtensions: [] },
          never,
        );
        await recovery.restores.fill(
          instance.names,
          shadow,
          { file, own: true, jobs: 1, list, uncompressedBytes },
          step(),
        );
        const refuse = () => Promise.reject(new Error('no'));
        const databases = { incoming: shadow.database, outgoing: shadow.restorePoint };
        await expect(recovery.restores.swap(instance.names, databases, refuse, never)).rejects.toThrow('no');
        await recovery.restores.discardShadow(instance.names, shadow, never);
      }));

    it('for a restore point that is gone', () =>
      untouched(() =>
        expect(
          recovery.restores.swap(
            instance.names,
            { incoming: recovery.restores.drawRestorePoint(), outgoing: recovery.restores.drawRestorePoint() },
            record,
            never,
          ),
        ).rejects.toMatchObject({ code: 'no_restore_point' }),
      ));
  });

  it.each(['before', 'in', 'after'] as const)('is whole when the server dies %s it', async (when) => {
    await write('living');
    const { names } = instance;
    const shadow = recovery.restores.drawNames();
    const { list, uncompressedBytes } = await recovery.archives.inspect(
      file,
      { own: true, allowedExtensions: [] },
      never,
    );
    await recovery.restores.fill(names, shadow, { file, own: true, jobs: 1, list, uncompressedBytes }, step());
    const databases = { incoming: shadow.database, outgoing: shadow.restorePoint };
    let intent: SwapIntent | undefined;
    const crash = async () => {
      await cluster.kill();
    };
    const holder = when === 'in' ? await session(cluster.superuserUrl()) : undefined;
    const swapping = recovery.restores.swap(
      names,
      databases,
      async (told) => {
        intent = told;
        if (when === 'before') await crash();
        // A lock on the catalog stops the transaction in its middle.
        await holder?.query('BEGIN; LOCK TABLE pg_shdepend IN ACCESS EXCLUSIVE MODE');
      },
      never,
    );
    swapping.catch(() => undefined);
    if (when === 'in') {
      await until(
        'the swap to wait',
        async () => (await sql(cluster.superuserUrl(), `SELECT FROM pg_locks WHERE NOT granted`)).length > 0,
      );
      await crash();
    }
    if (when === 'after') {
      await swapping;
      await crash();
    } else await expect(swapping).rejects.toMatchObject({ code: 'server_unreachable' });
    await holder?.end().catch(() => undefined);
    await cluster.start();
    if (intent === undefined) throw new Error('no intent');
    const told = intent;
    const outcome = await until('the server', () =>
      recovery.restores.reconcile(names, told, never).catch(() => undefined),
    );
    expect(outcome).toBe(when === 'after' ? 'swapped' : 'not_swapped');
    expect(await version()).toBe(when === 'after' ? 'old' : 'living');
    await recovery.restores.discardShadow(names, shadow, never);
    await recovery.restores.dropRestorePoint('default', shadow.restorePoint, never);
    expect(await version()).toBe(when === 'after' ? 'old' : 'living');
  });
});
