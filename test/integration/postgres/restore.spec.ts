import { type Cluster, startCluster } from '../../support/cluster.js';
import { session, sql } from '../../support/sql.js';
import { until } from '../../support/until.js';
import { never, step, tenant } from './estate.js';
import {
  checksum,
  fileIn,
  inventory,
  programs,
  type Recovery,
  recoveryOn,
  restore,
  take,
  tool,
  TRUSTED,
} from './recovery.js';

/** Something of most kinds that an application makes. */
const APPLICATION = `
  CREATE EXTENSION hstore; CREATE EXTENSION citext;
  CREATE SCHEMA shop; COMMENT ON SCHEMA shop IS 'of the shop';
  CREATE TYPE shop.state AS ENUM ('new', 'paid'); CREATE DOMAIN shop.amount AS numeric(10, 2) CHECK (VALUE >= 0);
  CREATE TABLE shop.customer (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name citext UNIQUE, more hstore,
    "Odd ""Column" text DEFAULT 'x''y');
  CREATE TABLE shop.invoice (id serial PRIMARY KEY, customer int REFERENCES shop.customer, state shop.state,
    total shop.amount, at timestamptz DEFAULT now(), doc text, bytes bytea);
  CREATE TABLE shop.event (at timestamptz NOT NULL, what jsonb) PARTITION BY RANGE (at);
  CREATE TABLE shop.event_2024 PARTITION OF shop.event FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
  CREATE TABLE shop.event_rest PARTITION OF shop.event DEFAULT;
  CREATE INDEX ON shop.invoice USING gin (to_tsvector('english', doc::text)) WHERE total > 5;
  CREATE FUNCTION shop.next() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.at := NEW.at; RETURN NEW; END $$;
  CREATE TRIGGER t BEFORE UPDATE ON shop.invoice FOR EACH ROW EXECUTE FUNCTION shop.next();
  CREATE VIEW shop.rich AS SELECT customer, sum(total) FROM shop.invoice GROUP BY 1;
  CREATE MATERIALIZED VIEW shop.counts AS SELECT count(*) FROM shop.invoice;
  CREATE TABLE "Mixed Case"(a int, b text COLLATE "C"); COMMENT ON TABLE "Mixed Case" IS 'odd';
  CREATE TABLE secured (a int); ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
  CREATE POLICY p ON secured USING (a > 1);
  INSERT INTO shop.customer (name, more) SELECT 'c' || g, hstore('k', g::text) FROM generate_series(1, 500) g;
  INSERT INTO shop.invoice (customer, state, total, doc, bytes)
    SELECT g, 'paid', g, '<a/>', decode(md5(g::text), 'hex') FROM generate_series(1, 500) g;
  INSERT INTO shop.event SELECT '2024-06-01'::timestamptz + g * interval '1 day', '{"a": 1}' FROM generate_series(1, 400) g;
  INSERT INTO "Mixed Case" SELECT g, E'tab\\tquote''back\\\\slash' FROM generate_series(1, 10) g;
  INSERT INTO secured VALUES (1), (2);
  SELECT lo_from_bytea(0, 'a large one');
  REFRESH MATERIALIZED VIEW shop.counts`;

describe('restore', () => {
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

  const schemaOf = async (database: string) =>
    (await tool(cluster, 'pg_dump', ['--schema-only', '--restrict-key=x'].slice(0, 1), database))
      .split('\n')
      .filter((line) => !/^(--|\\|\s*$)/.test(line))
      .join('\n');

  it('brings back schema, rights, rows, sequences and large objects as they were', async () => {
    const instance = await tenant(recovery, cluster, ['read-write', 'read-only', 'read-only']);
    const { names, bindings } = instance;
    const url = bindings[0]?.url ?? '';
    await sql(url, APPLICATION);
    await sql(
      url,
      `REVOKE SELECT ON "Mixed Case" FROM ${names.readerRole};
      GRANT SELECT ON secured TO ${bindings[2]?.role}; GRANT INSERT (a) ON "Mixed Case" TO ${bindings[1]?.role}`,
    );
    const { file, facts } = await take(recovery, names);
    const [rows, schema] = [await checksum(cluster, names.database), await schemaOf(names.database)];
    await sql(url, 'DROP SCHEMA shop CASCADE; CREATE TABLE later (a int)');
    const before = await inventory(cluster);
    const restored = await restore(recovery, names, file, { own: true, facts });
    expect(restored).toMatchObject({ rows: facts.row_total, tables: facts.tables, leftOut: [], swapLeftOut: [] });
    expect(restored.inspected.leftOut).toEqual([]);
    expect(await checksum(cluster, names.database)).toEqual(rows);
    expect(await schemaOf(names.database)).toEqual(schema);
    expect(await sql(bindings[1]?.url ?? '', 'SELECT count(*)::int AS n FROM shop.invoice')).toEqual([{ n: 500 }]);
    await expect(sql(bindings[1]?.url ?? '', 'SELECT * FROM "Mixed Case"')).rejects.toThrow(/permission denied/);
    await sql(url, 'ALTER TABLE shop.invoice ADD COLUMN more int; DROP EXTENSION hstore CASCADE');
    await recovery.restores.dropRestorePoint('default', restored.shadow.restorePoint, never);
    expect(await inventory(cluster)).toEqual(before);
    expect(await programs(recovery, cluster)).toEqual([]);
  });

  it('restores into another instance without the rights of the first', async () => {
    const source = await tenant(recovery, cluster, ['read-write']);
    await sql(source.bindings[0]?.url ?? '', APPLICATION);
    const { file, facts } = await take(recovery, source.names);
    const rows = await checksum(cluster, source.names.database);
    const { names, bindings } = await tenant(recovery, cluster, ['read-write', 'read-only']);
    const restored = await restore(recovery, names, file, { facts });
    expect(restored.inspected.leftOut).toEqual([expect.stringMatching(/^\d+ grants of rights/)]);
    expect(await checksum(cluster, names.database)).toEqual(rows);
    expect(await sql(bindings[1]?.url ?? '', 'SELECT count(*)::int AS n FROM shop.invoice')).toEqual([{ n: 500 }]);
    await sql(bindings[0]?.url ?? '', 'DROP TABLE shop.invoice CASCADE');
  });

  describe('that fails', () => {
    const names = () => instance.names;
    let instance: Awaited<ReturnType<typeof tenant>>;
    let url: string;
    let writers: { stop: () => Promise<void> };
    beforeAll(async () => {
      instance = await tenant(recovery, cluster, ['read-write']);
      url = instance.bindings[0]?.url ?? '';
      await sql(url, `CREATE TABLE kept AS SELECT g FROM generate_series(1, 100) g; CREATE TABLE log (n serial)`);
    });

    const unchanged = async (work: () => Promise<unknown>) => {
      const [before, kept] = [await inventory(cluster), await checksum(cluster, names().database)];
      const client = await session(url);
      let written = 0;
      let going = true;
      const writing = (async () => {
        while (going) {
          await client.query('INSERT INTO log DEFAULT VALUES');
          written += 1;
        }
      })();
      writers = { stop: () => writing };
      try {
        await work();
      } finally {
        going = false;
        await writers.stop();
        await client.end();
      }
      const { 'public.log': log, 'public.log_n_seq': sequence, ...rest } = kept;
      const now = await checksum(cluster, names().database);
      expect(now).toMatchObject(rest);
      expect([log, sequence]).toEqual([expect.any(String), expect.any(String)]);
      const [row] = await sql(url, 'SELECT count(*)::int AS n FROM log');
      expect(row?.['n']).toBeGreaterThanOrEqual(written);
      await until('everything to be as before', async () =>
        JSON.stringify(await inventory(cluster)) === JSON.stringify(before) ? true : undefined,
      );
      expect(await programs(recovery, cluster)).toEqual([]);
    };

    it('on an error of its own backup changes nothing', () =>
      unchanged(async () => {
        const other = await tenant(recovery, cluster, ['read-write']);
        await sql(
          other.bindings[0]?.url ?? '',
          'CREATE FUNCTION bad(int) RETURNS bool LANGUAGE sql IMMUTABLE AS $$ SELECT true $$; CREATE TABLE c (a int CHECK (bad(a))); INSERT INTO c VALUES (1); CREATE OR REPLACE FUNCTION bad(int) RETURNS bool LANGUAGE sql IMMUTABLE AS $$ SELECT false $$',
        );
        const { file, facts } = await take(recovery, other.names);
        await recovery.tenants.drop(
          other.names,
          other.bindings.map(({ role }) => role),
          step(),
        );
        await expect(restore(recovery, names(), file, { own: true, facts })).rejects.toMatchObject({
          code: 'restore_failed',
          message: expect.stringMatching(/violates check constraint/) as string,
        });
        await expect(restore(recovery, names(), file)).rejects.toMatchObject({
          code: 'restore_failed',
          message: expect.stringMatching(/violates check constraint/) as string,
        });
      }));

    it('on rows that are not those of the manifest changes nothing', () =>
      unchanged(async () => {
        const { file, facts } = await take(recovery, names());
        const rows = { ...facts.rows, 'public.kept': 101, 'public.lost': 1 };
        await expect(restore(recovery, names(), file, { own: true, facts: { ...facts, rows } })).rejects.toMatchObject({
          code: 'verification_failed',
          details: {
            differences: ['public.kept: 101 expected, 100 found', 'public.lost: 1 expected, no table found'],
          },
        });
      }));

    it('on another number of rows than that of a manifest too large for the counts of each table changes nothing', () =>
      unchanged(async () => {
        const { file, facts } = await take(recovery, names());
        const wrong = { ...facts, rows: {}, row_total: facts.row_total + 1 };
        await expect(restore(recovery, names(), file, { own: true, facts: wrong })).rejects.toMatchObject({
          code: 'verification_failed',
          details: { differences: [`rows: ${wrong.row_total} expected, ${facts.row_total} found`] },
        });
        const shadow = recovery.restores.drawNames();
        const { list, uncompressedBytes } = await recovery.archives.inspect(
          file,
          { own: true, allowedExtensions: TRUSTED },
          never,
        );
        const right = { file, jobs: 1, own: true, list, uncompressedBytes, facts: { ...facts, rows: {} } };
        const filled = await recovery.restores.fill(names(), shadow, right, step());
        expect(filled).toMatchObject({ rows: facts.row_total, tables: facts.tables });
        await recovery.restores.discardShadow(names(), shadow, never);
      }));

    it('on a cancel ends programs and sessions and changes nothing', () =>
      unchanged(async () => {
        const other = await tenant(recovery, cluster, ['read-write']);
        await sql(
          other.bindings[0]?.url ?? '',
          `CREATE TABLE slow AS SELECT 1 AS a;
          CREATE FUNCTION wait(int) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT $1 FROM pg_sleep(0) $$;
          CREATE INDEX ON slow (wait(a)); CREATE OR REPLACE FUNCTION wait(int) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT $1 FROM pg_sleep(600) $$`,
        );
        const { file } = await take(recovery, other.names);
        await recovery.tenants.drop(
          other.names,
          other.bindings.map(({ role }) => role),
          step(),
        );
        const cancel = new AbortController();
        const going = restore(recovery, names(), file, {}, cancel.signal);
        going.catch(() => undefined);
        await until('the restore to hang', async () => {
          const found = await sql(cluster.superuserUrl(), `SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep'`);
          return found.length > 0;
        });
        cancel.abort(new Error('cancelled'));
        await expect(going).rejects.toThrow('cancelled');
      }));

    it('in a broker that is gone: another clears away database, roles, sessions and programs', () =>
      unchanged(async () => {
        const other = await tenant(recovery, cluster, ['read-write']);
        await sql(
          other.bindings[0]?.url ?? '',
          `CREATE TABLE slow AS SELECT 1 AS a;
          CREATE FUNCTION wait(int) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT $1 FROM pg_sleep(0) $$;
          CREATE INDEX ON slow (wait(a)); CREATE OR REPLACE FUNCTION wait(int) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT $1 FROM pg_sleep(600) $$`,
        );
        const { file } = await take(recovery, other.names);
        await recovery.tenants.drop(
          other.names,
          other.bindings.map(({ role }) => role),
          step(),
        );
        const dead = await recoveryOn(cluster);
        const shadow = dead.restores.drawNames();
        const inspected = await dead.archives.inspect(file, { own: false, allowedExtensions: TRUSTED }, never);
        const filling = dead.restores.fill(names(), shadow, { ...inspected, file, jobs: 2, own: false }, step());
        filling.catch(() => undefined);
        await until('the restore to hang', async () => {
          const found = await sql(cluster.superuserUrl(), `SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep'`);
          return found.length > 0;
        });
        await recovery.restores.discardShadow(names(), shadow, never);
        await expect(filling).rejects.toMatchObject({ code: 'server_unreachable' });
        await dead.close();
      }));

    it('on a database that grows beyond its limit changes nothing', () =>
      unchanged(async () => {
        const other = await tenant(recovery, cluster, ['read-write']);
        await sql(
          other.bindings[0]?.url ?? '',
          `CREATE TABLE seed (a int); INSERT INTO seed VALUES (1);
          CREATE FUNCTION grow() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN
            CREATE TABLE IF NOT EXISTS public.grown (a text); INSERT INTO public.grown SELECT repeat(md5(g::text), 30) FROM generate_series(1, 60000) g;
            PERFORM pg_sleep(5); RETURN 1; END $$;
          CREATE MATERIALIZED VIEW m AS SELECT a FROM seed;
          CREATE MATERIALIZED VIEW n AS SELECT public.grow() WITH NO DATA`,
        );
        const { file } = await take(recovery, other.names);
        await recovery.tenants.drop(
          other.names,
          other.bindings.map(({ role }) => role),
          step(),
        );
        const shadow = recovery.restores.drawNames();
        const { list, uncompressedBytes } = await recovery.archives.inspect(
          file,
          { own: false, allowedExtensions: TRUSTED },
          never,
        );
        const filling = recovery.restores.fill(
          names(),
          shadow,
          { file, jobs: 1, own: false, list, uncompressedBytes, maxDatabaseBytes: 1_000_000 },
          step(),
        );
        await expect(filling).rejects.toMatchObject({ code: 'archive_rejected' });
        await recovery.restores.discardShadow(names(), shadow, never);
        await recovery.restores.discardShadow(names(), shadow, never);
        expect(fileIn(recovery)).toBeDefined();
      }));
  });
});
