import { type Cluster, startCluster } from '../../support/cluster.js';
import { sql } from '../../support/sql.js';
import { never, tenant } from './estate.js';
import { inventory, programs, type Recovery, recoveryOn, take } from './recovery.js';

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
});
