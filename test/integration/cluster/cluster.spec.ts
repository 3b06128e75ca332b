import { Client } from 'pg';
import { type Cluster, startCluster } from '../../support/cluster.js';

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<unknown[]>({ text: sql, rowMode: 'array' })).rows.flat();
  } finally {
    await client.end();
  }
}

describe('test clusters', () => {
  let clusters: Cluster[] = [];
  beforeAll(async () => {
    clusters = await Promise.all([startCluster(), startCluster()]);
  });
  afterAll(async () => {
    await Promise.all(clusters.map((cluster) => cluster.remove()));
  });

  it('are two servers, each with the roles and databases of the embedded one', async () => {
    const ports = await Promise.all(clusters.map((cluster) => query(cluster.brokerUrl(), 'SHOW port')));
    expect(new Set(ports.flat()).size).toBe(2);
    for (const cluster of clusters) {
      expect(
        await query(
          cluster.brokerUrl(),
          `SELECT rolsuper, rolcreatedb, rolcreaterole, has_parameter_privilege('temp_file_limit', 'SET'),
             pg_has_role('pg_signal_backend', 'MEMBER'), pg_has_role('pg_read_all_stats', 'MEMBER'),
             current_setting('search_path'), current_setting('data_checksums'), current_setting('server_encoding')
           FROM pg_roles WHERE rolname = current_user`,
        ),
      ).toEqual([false, true, true, true, true, true, 'pg_catalog', 'on', 'UTF8']);
      expect(await query(cluster.stateUrl(), 'SELECT current_database()::text')).toEqual(['broker_state']);
    }
  });

  it('lets the state role connect to its own database only', async () => {
    const [cluster] = clusters as [Cluster];
    for (const database of ['postgres', 'template1'])
      await expect(query(cluster.stateUrl(database), 'SELECT 1')).rejects.toThrow(/permission denied for database/);
    await expect(query(cluster.brokerUrl('broker_state'), 'SELECT 1')).rejects.toThrow(
      /permission denied for database/,
    );
  });

  it('keeps what was committed over stop, kill and start', async () => {
    const [cluster] = clusters as [Cluster];
    await query(cluster.superuserUrl(), 'CREATE TABLE kept (n int)');
    for (const end of [() => cluster.stop(), () => cluster.stop('immediate'), () => cluster.kill()]) {
      await query(cluster.superuserUrl(), 'INSERT INTO kept VALUES (1)');
      await end();
      await expect(query(cluster.superuserUrl(), 'SELECT 1')).rejects.toThrow(/ECONNREFUSED/);
      await cluster.start();
    }
    expect(await query(cluster.superuserUrl(), 'SELECT count(*)::int FROM kept')).toEqual([3]);
  });
});
