import { rowsInArchive } from '../../../src/postgres/archive-rows.js';
import { type CountedTable, countedTables } from '../../../src/postgres/row-counts.js';
import { type Session } from '../../../src/postgres/session.js';
import { type Cluster, startCluster } from '../../support/cluster.js';
import { session, sql } from '../../support/sql.js';
import { never, tenant } from './estate.js';
import { type Recovery, recoveryOn, restore, take, type Taken } from './recovery.js';

describe('a dump beside statements that lock whole tables', () => {
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

  it('neither waits for them nor lets them wait for more than pg_dump, and its rows are what it holds', async () => {
    const { names, bindings } = await tenant(recovery, cluster, ['read-write']);
    const url = bindings[0]?.url ?? '';
    await sql(
      url,
      `CREATE TABLE kept AS SELECT generate_series(1, 1000) AS g; CREATE TABLE staging (g int); CREATE TABLE rewritten AS SELECT * FROM kept;
       CREATE INDEX ON kept (g)`,
    );
    let going = true;
    const loop = async (text: string) => {
      const client = await session(url);
      await client.query(`SET lock_timeout = '20s'`);
      try {
        while (going) await client.query(text);
      } finally {
        await client.end();
      }
    };
    const loops = Promise.all([
      loop('TRUNCATE staging; INSERT INTO staging SELECT generate_series(1, 100)'),
      loop('ALTER TABLE rewritten ALTER COLUMN g TYPE bigint; ALTER TABLE rewritten ALTER COLUMN g TYPE int'),
      loop('REINDEX TABLE kept'),
    ]);
    loops.catch(() => undefined);
    const taken: Taken[] = [];
    try {
      for (let round = 0; round < 3; round += 1) taken.push(await take(recovery, names));
    } finally {
      going = false;
    }
    await loops;
    for (const { file, facts } of taken) {
      expect(facts.rows['public.kept']).toBe(1000);
      await restore(recovery, names, file, { own: true, facts });
    }
  });

  it('counts in its archive as on the server', async () => {
    const { names, bindings } = await tenant(recovery, cluster, ['read-write']);
    const url = bindings[0]?.url ?? '';
    await sql(
      url,
      `CREATE TABLE empty (a int); CREATE TABLE bare (); INSERT INTO bare DEFAULT VALUES; INSERT INTO bare DEFAULT VALUES;
       CREATE SCHEMA "a b"; CREATE TABLE "a b"."c d" AS SELECT E'\\\\.' AS a, E'one\\ntwo' AS b FROM generate_series(1, 30000);
       CREATE TABLE wide AS SELECT repeat('x', 300000) AS a FROM generate_series(1, 20); SELECT lo_from_bytea(0, 'large')`,
    );
    const { file, facts } = await take(recovery, names);
    const client = await session(url);
    const asked = { query: async (text: string) => (await client.query(text)).rows as unknown[] } as unknown as Session;
    const tables: CountedTable[] = await countedTables(asked, never);
    await client.end();
    expect(facts.rows).toEqual({ 'public.empty': 0, 'public.bare': 2, '"a b"."c d"': 30_000, 'public.wide': 20 });
    expect(await rowsInArchive(recovery.tools, file, tables, never)).toEqual(facts.rows);
    await expect(
      rowsInArchive(recovery.tools, file, [...tables, { ...tables[0], oid: 1 } as CountedTable], never),
    ).rejects.toMatchObject({ code: 'dump_failed' });
  });
});
