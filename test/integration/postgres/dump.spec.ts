import { type Cluster, startCluster } from '../../support/cluster.js';
import { session, sql } from '../../support/sql.js';
import { until } from '../../support/until.js';
import { never, type Tenant, tenant } from './estate.js';
import { checksum, fakeTools, inventory, programs, type Recovery, recoveryOn, restore, take } from './recovery.js';

describe('dump', () => {
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

  it('says what it holds and leaves nothing', async () => {
    const { names, bindings } = await tenant(recovery, cluster, ['read-write', 'read-only']);
    const url = bindings[0]?.url ?? '';
    await sql(
      url,
      `CREATE SCHEMA "Odd.Name"; CREATE TABLE "Odd.Name"."t;--" (a int); INSERT INTO "Odd.Name"."t;--" VALUES (1), (2)`,
    );
    await sql(
      url,
      `CREATE EXTENSION hstore; CREATE TABLE parted (a int) PARTITION BY RANGE (a);
      CREATE TABLE part1 PARTITION OF parted FOR VALUES FROM (0) TO (10); INSERT INTO parted VALUES (1), (2), (3);
      CREATE UNLOGGED TABLE fast (a int); INSERT INTO fast VALUES (1)`,
    );
    const before = await inventory(cluster);
    const ready = await recovery.dumps.preflight(names, never);
    expect(ready).toMatchObject({ compression: 'gzip', databaseBytes: expect.any(Number) as number });
    const { facts } = await take(recovery, names);
    expect(facts.rows).toEqual({ '"Odd.Name"."t;--"': 2, 'public.part1': 3, 'public.fast': 1 });
    expect(facts).toMatchObject({
      tables: 3,
      row_total: 6,
      snapshot_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) as string,
      lsn: expect.stringMatching(/^[0-9A-F]+\/[0-9A-F]+$/) as string,
      binding_roles: bindings.map(({ role, access }) => ({ role, access })),
      encoding: 'UTF8',
      locale: 'C.UTF-8',
      compression: 'gzip',
    });
    expect(facts.extensions.map(({ name }) => name)).toEqual(['hstore', 'plpgsql']);
    expect(facts.settings.map(({ name }) => name)).toContain('statement_timeout');
    expect(await inventory(cluster)).toEqual(before);
    expect(await programs(recovery, cluster)).toEqual([]);
  });

  it('is one moment of a database that is written to, and takes what sessions made by themselves', async () => {
    const { names, bindings } = await tenant(recovery, cluster, ['read-write', 'read-only']);
    const url = bindings[0]?.url ?? '';
    await sql(
      url,
      `CREATE TABLE a AS SELECT g, repeat('x', 200) AS pad FROM generate_series(1, 20000) g; CREATE TABLE b AS SELECT * FROM a WHERE false`,
    );
    for (const binding of bindings)
      await sql(
        binding.url,
        `SET ROLE NONE; SET default_transaction_read_only = off; SELECT lo_from_bytea(0, 'stray')`,
      ).catch(() => undefined);
    let going = true;
    const client = await session(url);
    const writing = (async () => {
      while (going)
        await client.query(
          'WITH moved AS (DELETE FROM a WHERE g = (SELECT min(g) FROM a) RETURNING *) INSERT INTO b SELECT * FROM moved',
        );
    })();
    const { file, facts } = await take(recovery, names);
    going = false;
    await writing;
    await client.end();
    expect((facts.rows['public.a'] ?? 0) + (facts.rows['public.b'] ?? 0)).toBe(20_000);
    const restored = await restore(recovery, names, file, { own: true, facts });
    expect(restored.rows).toBe(20_000);
    expect((await checksum(cluster, names.database))['large objects']).toMatch(/^2/);
    await recovery.restores.dropRestorePoint('default', restored.shadow.restorePoint, never);
  });

  it('refuses FORCE ROW LEVEL SECURITY, unless a superuser’s login makes it complete', async () => {
    const { names, bindings } = await tenant(recovery, cluster, ['read-write']);
    await sql(
      bindings[0]?.url ?? '',
      `CREATE TABLE f (a int); INSERT INTO f VALUES (1), (2); ALTER TABLE f ENABLE ROW LEVEL SECURITY;
      CREATE POLICY p ON f USING (a > 1); ALTER TABLE f FORCE ROW LEVEL SECURITY`,
    );
    const before = await inventory(cluster);
    await expect(take(recovery, names)).rejects.toMatchObject({
      code: 'dump_failed',
      message: expect.stringMatching(/FORCE ROW LEVEL SECURITY.*public\.f/) as string,
    });
    expect(await inventory(cluster)).toEqual(before);
    const powerful = await recoveryOn(cluster, { superuser: true });
    const { file, facts } = await take(powerful, names);
    expect(facts.rows).toEqual({ 'public.f': 2 });
    const { shadow, rows } = await restore(powerful, names, file, { own: true, facts });
    expect(rows).toBe(2);
    await powerful.restores.dropRestorePoint('default', shadow.restorePoint, never);
    expect(await inventory(cluster)).toEqual(before);
    await powerful.close();
  });

  describe('that fails', () => {
    let instance: Tenant;
    beforeAll(async () => {
      instance = await tenant(recovery, cluster, ['read-write']);
      await sql(
        instance.bindings[0]?.url ?? '',
        `CREATE TABLE t AS SELECT g, md5(g::text) || md5((g + 1)::text) AS text FROM generate_series(1, 60000) g`,
      );
    });
    const version = 'case "$*" in *--version*) exec "$real" "$@";; esac; ';

    it.each([
      ['with an exit code after all of its output', `${version} "$real" "$@"; exit 3`, 'dump_failed', /exit code 3/],
      [
        'by a signal in the middle',
        `${version} "$real" "$@" | head -c 300000; kill -KILL $$`,
        'dump_failed',
        /SIGKILL/,
      ],
      [
        'with a message',
        `${version} echo "pg_dump: error: no luck with $PGPASSWORD" >&2; exit 1`,
        'dump_failed',
        /no luck with \[redacted\]/,
      ],
      [
        'because it shows no password among its arguments',
        `${version} case "$*" in *"$PGPASSWORD"*) exit 0;; esac; echo "pg_dump: error: clean" >&2; exit 1`,
        'dump_failed',
        /clean/,
      ],
      ['because it is older than the server', 'echo "pg_dump (PostgreSQL) 14.9"', 'dump_failed', /14\.9 is older/],
    ])('%s never looks like one that is done', async (_how, script, code, says) => {
      const failing = await recoveryOn(cluster, { binDir: await fakeTools(recovery.folder, { pg_dump: script }) });
      const before = await inventory(cluster);
      await expect(take(failing, instance.names)).rejects.toMatchObject({
        code,
        message: expect.stringMatching(says) as string,
      });
      expect(await inventory(cluster)).toEqual(before);
      expect(await programs(recovery, cluster)).toEqual([]);
      await failing.close();
    });

    it.each(['cancelled', 'given up unread'] as const)('because it is %s leaves nothing', async (how) => {
      const before = await inventory(cluster);
      const role = recovery.dumps.drawEphemeralRole();
      const cancel = new AbortController();
      const { archive, facts } = await recovery.dumps.dump(instance.names, { role }, cancel.signal);
      if (how === 'cancelled') {
        archive.once('data', () => cancel.abort(new Error('cancelled')));
        await expect(archive.forEach(() => undefined)).rejects.toThrow('cancelled');
      } else archive.destroy();
      await expect(facts('/nowhere')).rejects.toThrow();
      await recovery.dumps.dropEphemeralRole(instance.names, role, never);
      await recovery.dumps.dropEphemeralRole(instance.names, role, never);
      expect(await inventory(cluster)).toEqual(before);
      await until('pg_dump to be gone', async () => (await programs(recovery, cluster)).length === 0);
    });

    it('because the server restarts says so', async () => {
      // More than the buffers between server, program and broker hold.
      await sql(
        instance.bindings[0]?.url ?? '',
        `CREATE TABLE wide AS SELECT repeat(md5(g::text), 30) AS text FROM generate_series(1, 40000) g`,
      );
      const role = recovery.dumps.drawEphemeralRole();
      const { archive } = await recovery.dumps.dump(instance.names, { role }, never);
      archive.on('error', () => undefined);
      archive.once('data', () => archive.pause());
      await until('the first bytes', () => archive.readableFlowing === false);
      await cluster.stop('immediate');
      const rest = archive.forEach(() => undefined);
      rest.catch(() => undefined);
      await cluster.start();
      await expect(rest).rejects.toMatchObject({
        code: expect.stringMatching(/server_unreachable|dump_failed/) as string,
      });
      await recovery.dumps.dropEphemeralRole(instance.names, role, never);
      expect((await inventory(cluster)).filter(({ what }) => String(what).includes(role))).toEqual([]);
    });
  });
});
