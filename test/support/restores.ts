import { type RunningBroker } from './broker.js';
import { type Json } from './client.js';
import { type Credentials, credentialsOf } from './platform.js';
import { sql } from './sql.js';

export interface Inhabited {
  id: string;
  writer: Credentials;
  reader: Credentials;
}

export const binding = async (broker: RunningBroker, id: string, name: string, parameters: Json = {}) =>
  credentialsOf(await broker.platform.bind(id, name, { parameters }));

/** An instance with two bindings, extensions, settings, sequences, large objects and rows. */
export async function inhabited(broker: RunningBroker, id: string): Promise<Inhabited> {
  await broker.platform.provision(id, { parameters: { extensions: ['citext', 'pg_trgm'] } });
  const writer = await binding(broker, id, 'writer');
  const reader = await binding(broker, id, 'reader', { access: 'read-only' });
  await sql(
    writer.uri,
    `CREATE TABLE people (id serial PRIMARY KEY, name citext NOT NULL);
     CREATE INDEX ON people USING gin (name gin_trgm_ops);
     INSERT INTO people (name) SELECT 'Name ' || i FROM generate_series(1, 2000) i;
     CREATE TABLE notes (id bigserial, person int REFERENCES people, note text);
     INSERT INTO notes (person, note) SELECT 1 + i % 2000, md5(i::text) FROM generate_series(1, 5000) i;
     CREATE VIEW named AS SELECT name FROM people; SELECT lo_from_bytea(0, 'large');`,
  );
  return { id, writer, reader };
}

export const restore = (
  broker: RunningBroker,
  id: string,
  name = 'latest',
  query: Record<string, string> = {},
  prefer?: string,
) => broker.admin.send('POST', `/restore_instance/${id}/${name}`, { query, headers: prefer ? { prefer } : {} });
export const undo = (broker: RunningBroker, id: string) => broker.admin.send('POST', `/undo_restore/${id}`);

export const count = async (uri: string, table: string) =>
  Number((await sql(uri, `SELECT count(*)::int AS n FROM ${table}`))[0]?.['n']);

/** The reader reads every table, also those that the writer makes later, and writes to none. */
export async function expectReads({ writer, reader }: Pick<Inhabited, 'writer' | 'reader'>, tables: string[]) {
  await sql(writer.uri, 'CREATE TABLE made_later AS SELECT 1 AS i');
  const { username } = reader;
  for (const table of [...tables, 'made_later']) {
    expect(await count(reader.uri, table)).toBe(await count(writer.uri, table));
    // The session's default is no right: without it, too, nothing is written.
    for (const write of [`DELETE FROM ${table}`, `INSERT INTO ${table} DEFAULT VALUES`, `TRUNCATE ${table}`])
      await expect(sql(reader.uri, `BEGIN READ WRITE; ${write}`)).rejects.toMatchObject({ code: '42501' });
  }
  await expect(sql(reader.uri, `BEGIN READ WRITE; CREATE TABLE of_${username} (i int)`)).rejects.toThrow(/denied/);
  await sql(writer.uri, 'DROP TABLE made_later');
}

/** Databases and roles that instances and bindings do not account for. */
export async function surplus(broker: RunningBroker): Promise<string[]> {
  const { databases, roles, instances, bindings } = await broker.home.estate.look();
  const known = instances.flatMap((row) => [
    row['database'],
    row['owner_role'],
    row['connect_role'],
    row['reader_role'],
  ]);
  const all = new Set([...known, ...bindings.map(({ role }) => role)].map(String));
  return [...databases, ...roles].filter((name) => !all.has(name) && !/^(stranger|foreign)/.test(name));
}
