import { type Cluster, startCluster } from '../../support/cluster.js';
import { sql } from '../../support/sql.js';
import { tenant } from './estate.js';
import { checksum, inventory, type Recovery, recoveryOn, restore, take } from './recovery.js';

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

  it('brings back what was dumped', async () => {
    const { names, bindings } = await tenant(recovery, cluster, ['read-write', 'read-only']);
    const url = bindings[0]?.url ?? '';
    await sql(url, `CREATE TABLE t AS SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 1000) g`);
    const { file, facts } = await take(recovery, names);
    const before = await checksum(cluster, names.database);
    await sql(url, 'DELETE FROM t WHERE id > 10; CREATE TABLE later (a int)');
    const roles = await inventory(cluster);
    const restored = await restore(recovery, names, file, { own: true, facts });
    expect(restored).toMatchObject({ rows: 1000, tables: 1, leftOut: [] });
    expect(await checksum(cluster, names.database)).toEqual(before);
    expect(await sql(bindings[1]?.url ?? '', 'SELECT count(*)::int AS n FROM t')).toEqual([{ n: 1000 }]);
    await recovery.restores.dropRestorePoint('default', restored.shadow.restorePoint, AbortSignal.timeout(10_000));
    expect((await inventory(cluster)).length).toEqual(roles.length);
    console.error(restored.outageMs, restored.inspected);
  });
});
