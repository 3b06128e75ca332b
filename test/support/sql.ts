import pg from 'pg';

export type Row = Record<string, unknown>;

/** A session of its own; the caller ends it. */
export async function session(url: string, settings: pg.ClientConfig = {}): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, ...settings });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** One statement in a session of its own. */
export async function sql(url: string, text: string, values: unknown[] = []): Promise<Row[]> {
  const client = await session(url);
  try {
    return ((await client.query(text, values)) as { rows?: Row[] }).rows ?? [];
  } finally {
    await client.end();
  }
}

/**
 * Holds back every write to a catalog of the server while `during` runs: `pg_authid` stops work on roles,
 * `pg_database` work on databases, both without stopping anybody from connecting or reading.
 */
export async function holding<T>(
  superuserUrl: string,
  catalog: 'pg_authid' | 'pg_database',
  during: (release: () => Promise<void>) => Promise<T>,
): Promise<T> {
  const client = await session(superuserUrl);
  const release = () => client.query('ROLLBACK').then(() => undefined);
  try {
    await client.query('BEGIN');
    await client.query(`LOCK TABLE pg_catalog.${catalog} IN EXCLUSIVE MODE`);
    return await during(release);
  } finally {
    await client.end().catch(() => undefined);
  }
}
