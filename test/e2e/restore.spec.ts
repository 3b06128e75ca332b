import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ended, expectProblem, makeBackup, operationSoon, things } from '../support/backups.js';
import { type RunningBroker, startBroker } from '../support/broker.js';
import { type Answer, type Json } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { type Credentials, credentialsOf } from '../support/platform.js';
import { session, sql } from '../support/sql.js';
import { until } from '../support/until.js';
import { foreignArchive, upload } from '../support/uploads.js';
import { checksum, inventory } from '../integration/postgres/recovery.js';

let cluster: Cluster;
let broker: RunningBroker;
beforeAll(async () => {
  cluster = await startCluster();
  broker = await startBroker({ cluster });
});
afterAll(async () => {
  await broker.stop();
  await cluster.remove();
});

interface Inhabited {
  id: string;
  writer: Credentials;
  reader: Credentials;
}

const binding = async (id: string, name: string, parameters: Json = {}) =>
  credentialsOf(await broker.platform.bind(id, name, { parameters }));

/** An instance with two bindings, extensions, settings, sequences, large objects and rows. */
async function inhabited(id: string): Promise<Inhabited> {
  await broker.platform.provision(id, { parameters: { extensions: ['citext', 'pg_trgm'] } });
  const writer = await binding(id, 'writer');
  const reader = await binding(id, 'reader', { access: 'read-only' });
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

const restore = (id: string, name = 'latest', query: Record<string, string> = {}, prefer?: string) =>
  broker.admin.send('POST', `/restore_instance/${id}/${name}`, { query, headers: prefer ? { prefer } : {} });
const undo = (id: string) => broker.admin.send('POST', `/undo_restore/${id}`);

const count = async (uri: string, table: string) =>
  Number((await sql(uri, `SELECT count(*)::int AS n FROM ${table}`))[0]?.['n']);

/** Databases and roles that instances and bindings do not account for. */
async function surplus(): Promise<string[]> {
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

/** What a restore that failed must not have changed: rows while a client writes, roles, databases, files. */
async function unchanged(
  { id, writer }: Inhabited,
  ask: () => Promise<Answer>,
  status: number,
  code: string,
  says?: RegExp,
): Promise<Answer> {
  const before = [await checksum(cluster, writer.database), await inventory(cluster), await things(broker)];
  const busy = await session(writer.uri);
  await busy.query('CREATE TEMP TABLE held (i int); INSERT INTO held VALUES (1)');
  let writes = 0;
  let writing = true;
  const client = (async () => {
    while (writing) {
      await busy.query(`BEGIN; INSERT INTO people (name) VALUES ('written'); DELETE FROM people WHERE name = 'written';
        SELECT setval('people_id_seq', 2000); COMMIT`);
      writes += 1;
    }
  })();
  const answer = await ask();
  writing = false;
  await client;
  expect(writes).toBeGreaterThan(0);
  expect((await busy.query('SELECT i FROM held')).rows).toEqual([{ i: 1 }]);
  await busy.end();
  expectProblem(answer, status, code, says);
  await until('the end of the work', async () => (await broker.home.estate.look()).active.length === 0);
  const after = [await checksum(cluster, writer.database), await inventory(cluster), await things(broker)];
  expect(after).toEqual(before);
  expect((await undo(id)).body['code']).toBe('no_restore_point');
  return answer;
}

describe('a restore', () => {
  it('puts everything back; bindings, limits, settings, rights and extensions go on; undo takes it back', async () => {
    const { id, writer, reader } = await inhabited('whole');
    const database = writer.database;
    const traits = () =>
      sql(
        cluster.superuserUrl(database),
        `SELECT datconnlimit, datdba::regrole::text AS owner, shobj_description(oid, 'pg_database') AS comment,
           (SELECT array_agg(a ORDER BY a) FROM unnest(datacl::text[]) a) AS acl,
           (SELECT array_agg(setconfig::text) FROM pg_db_role_setting WHERE setdatabase = d.oid) AS settings,
           (SELECT array_agg(extname ORDER BY extname) FROM pg_extension) AS extensions,
           (SELECT array_agg(DISTINCT tableowner) FROM pg_tables WHERE schemaname = 'public') AS owners
         FROM pg_database d WHERE datname = current_database()`,
      );
    await sql(cluster.superuserUrl(), `ALTER DATABASE ${database} SET work_mem = '7MB'`);
    const made = await makeBackup(broker, id);
    const before = [await checksum(cluster, database), await traits()];
    await sql(writer.uri, `DELETE FROM notes WHERE id > 100; CREATE TABLE later (i int); DROP VIEW named`);
    const since = [await checksum(cluster, database), await traits()];

    const restored = await restore(id);
    expect(restored.status).toBe(200);
    expect(restored.body).toEqual({
      backup: { ...made.body, operation_id: made.body['operation_id'] },
      rows: 7000,
      tables: 2,
      outage_ms: expect.any(Number) as number,
      left_out: [],
      restore_point: {
        created_at: expect.any(String) as string,
        expires_at: expect.any(String) as string,
        database_bytes: expect.any(Number) as number,
      },
      operation_id: expect.any(String) as string,
    });
    const point = restored.body['restore_point'] as Record<string, string>;
    expect(Date.parse(point['expires_at'] ?? '') - Date.parse(point['created_at'] ?? '')).toBe(24 * 3_600_000);
    expect([await checksum(cluster, database), await traits()]).toEqual(before);
    expect(await count(reader.uri, 'people')).toBe(2000);
    await expect(sql(reader.uri, 'DELETE FROM people')).rejects.toThrow(/permission denied|read-only/);
    await sql(writer.uri, `CREATE TABLE mine (i int); DROP TABLE mine; ALTER TABLE people ADD extra int`);
    expect(await count((await binding(id, 'third', { access: 'read-only' })).uri, 'notes')).toBe(5000);
    expect(await surplus()).toHaveLength(1);

    const undone = await undo(id);
    expect([undone.status, undone.body['outage_ms']]).toEqual([200, expect.any(Number)]);
    expect([await checksum(cluster, database), await traits()]).toEqual(since);
    expect(await count(reader.uri, 'notes')).toBe(100);
    await sql(writer.uri, `INSERT INTO later VALUES (1)`);

    expect((await undo(id)).status).toBe(200);
    expect(await count(reader.uri, 'notes')).toBe(5000);
    expect(await sql(writer.uri, `SELECT FROM information_schema.columns WHERE column_name = 'extra'`)).toHaveLength(1);
    expect(await surplus()).toHaveLength(1);
    expect((await broker.platform.unbind(id, 'third')).status).toBe(200);
  });

  it('keeps one restore point, until its time is over', async () => {
    const { id, writer } = await inhabited('one');
    await makeBackup(broker, id);
    const others = await surplus();
    await restore(id);
    await restore(id);
    expect(await surplus()).toHaveLength(others.length + 2);
    await broker.home.estate.state(`UPDATE restore_point SET expires_at = now() WHERE instance_id = $1`, [id]);
    await until('both restore points to go', async () => (await surplus()).length === others.length);
    expectProblem(await undo(id), 404, 'no_restore_point');
    expect(await count(writer.uri, 'people')).toBe(2000);
  });

  it('brings extensions along that the instance was given since', async () => {
    const { id, writer } = await inhabited('extended');
    await makeBackup(broker, id);
    await broker.platform.update(id, { parameters: { extensions: ['citext', 'pg_trgm', 'hstore'] } });
    expect((await restore(id)).status).toBe(200);
    expect(await sql(writer.uri, `SELECT 'a=>1'::hstore -> 'a' AS a`)).toEqual([{ a: '1' }]);
    expect((await broker.platform.deprovision(id)).status).toBe(200);
  });

  it('keeps the rights of a backup whose bindings are gone', async () => {
    const { id, writer, reader } = await inhabited('rights');
    await sql(writer.uri, `REVOKE SELECT ON people FROM PUBLIC; GRANT SELECT ON notes TO ${writer.username}`);
    await makeBackup(broker, id);
    await broker.platform.unbind(id, 'writer');
    const answer = await restore(id);
    expect([answer.status, answer.body['left_out']]).toEqual([200, []]);
    expect(await count(reader.uri, 'notes')).toBe(5000);
    expect(await surplus()).not.toContain(writer.username);
    expect((await broker.platform.deprovision(id)).status).toBe(200);
  });
});

describe('a backup of another instance', () => {
  it('is restored by `from`, also when that instance is gone', async () => {
    const { id } = await inhabited('first');
    const made = await makeBackup(broker, id);
    const name = String(made.body['backup_name']);
    await broker.platform.deprovision(id);
    await broker.platform.provision('second');
    const [writer, reader] = [await binding('second', 'w'), await binding('second', 'r', { access: 'read-only' })];
    expectProblem(await restore('second', name), 404, 'unknown_backup');
    const answer = await restore('second', name, { from: id });
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({ rows: 7000, tables: 2, backup: { instance_id: id } });
    expect(answer.body['left_out']).toEqual([expect.stringMatching(/grants of rights/)]);
    expect(await count(reader.uri, 'people')).toBe(2000);
    await sql(writer.uri, `ALTER TABLE people ADD extra int`);
    expectProblem(await restore('second', 'latest', { from: 'never' }), 404, 'unknown_backup');
    expect((await restore('second', 'latest', { from: id })).status).toBe(200);
    await inhabited(id);
    expect((await restore(id, name)).status).toBe(200);
    for (const each of [id, 'second']) expect((await broker.platform.deprovision(each)).status).toBe(200);
  });
});

describe('what fails changes nothing', () => {
  let instance: Inhabited;
  let name: string;
  let file: string;
  beforeAll(async () => {
    instance = await inhabited('safe');
    name = String((await makeBackup(broker, 'safe')).body['backup_name']);
    const folder = join(broker.home.dataDir, 'backups');
    const all = await readdir(folder, { recursive: true });
    file = join(folder, all.find((each) => each.endsWith(`${name}.dump`)) ?? '');
  });

  it('unknown backups, storages and instances', async () => {
    await unchanged(instance, () => restore('safe', 'none'), 404, 'unknown_backup', /none/);
    await unchanged(instance, () => restore('safe', name, { storage: 'nowhere' }), 400, 'unknown_storage', /local/);
    expectProblem(await restore('unknown', name), 404, 'unknown_instance');
    expectProblem(await undo('unknown'), 404, 'unknown_instance');
  });

  it('an archive with a flipped bit', async () => {
    const whole = await readFile(file);
    const flipped = Buffer.from(whole);
    flipped[whole.length - 100] = (flipped[whole.length - 100] ?? 0) ^ 1;
    await writeFile(file, flipped);
    await unchanged(instance, () => restore('safe', name), 422, 'archive_damaged', new RegExp(name));
    expect((await broker.home.estate.state(`SELECT state FROM backup WHERE name = $1`, [name]))[0]).toEqual({
      state: 'damaged',
    });
    await writeFile(file, whole);
  });

  it('an archive that is gone', async () => {
    const whole = await readFile(file);
    await rm(file);
    await unchanged(instance, () => restore('safe', name), 404, 'archive_missing');
    await writeFile(file, whole);
  });

  it('rows that differ from the manifest', async () => {
    const manifest = file.replace(/dump$/, 'json');
    const whole = await readFile(manifest, 'utf8');
    await writeFile(manifest, whole.replace(/"public\.people": \d+/, '"public.people": 1999'));
    await unchanged(
      instance,
      () => restore('safe', name),
      422,
      'verification_failed',
      /public\.people: 1999 expected, 2000/,
    );
    await writeFile(manifest, whole);
  });

  it('an archive whose statements fail, unless the caller accepts that', async () => {
    const archive = await foreignArchive(
      cluster,
      `CREATE TABLE good AS SELECT 1 AS i; CREATE FUNCTION only_here() RETURNS int LANGUAGE sql AS 'SELECT 1';
       CREATE TABLE bad (i int DEFAULT only_here()); CREATE EXTENSION file_fdw;
       CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
       CREATE FUNCTION f() RETURNS regclass LANGUAGE sql AS $$ SELECT 'pg_class'::regclass $$;
       CREATE TABLE ruled (i int CHECK (i > 0));
       CREATE FUNCTION bad_check(i int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RETURN pg_read_file('/etc/hostname') IS NOT NULL; END $$;
       CREATE TABLE escaping (i int CHECK (bad_check(i))); INSERT INTO escaping VALUES (1);`,
    );
    expect((await upload(broker, ['safe', 'elsewhere'], archive)).status).toBe(201);
    await unchanged(instance, () => restore('safe', 'elsewhere'), 422, 'restore_failed', /escaping|permission denied/);
    const accepted = await restore('safe', 'elsewhere', { accept_errors: 'true' });
    expect(accepted.status).toBe(200);
    expect(accepted.body['left_out']).toEqual(expect.arrayContaining([expect.stringMatching(/pg_read_file/)]));
    expect(await count(instance.writer.uri, 'good')).toBe(1);
    expect((await undo('safe')).status).toBe(200);
    expect(await count(instance.writer.uri, 'people')).toBe(2000);
    await broker.home.estate.state(`UPDATE restore_point SET expires_at = now() WHERE instance_id = 'safe'`);
    await until('the restore point to go', async () => {
      const rows = ['restore_point', 'discarded_database'].map((table) =>
        broker.home.estate.state(`SELECT FROM ${table} WHERE instance_id = 'safe'`),
      );
      return (await Promise.all(rows)).flat().length === 0;
    });
  });

  it('a session that the broker may not end', async () => {
    const held = await session(cluster.superuserUrl(instance.writer.database));
    await unchanged(instance, () => restore('safe', name), 409, 'database_in_use', /nothing has changed/);
    await held.end();
  });

  it('a cancel before the swap', async () => {
    const holder = await session(cluster.superuserUrl());
    const waiting = async () => {
      await holder.query('BEGIN; LOCK TABLE pg_catalog.pg_authid IN EXCLUSIVE MODE');
      const begun = await restore('safe', name, {}, 'respond-async');
      expect(begun.status).toBe(202);
      const id = String(begun.body['id']);
      await operationSoon(broker, id, ({ phase }) => phase === 'restoring');
      expectProblem(await restore('safe', name), 409, 'operation_in_progress');
      expect((await broker.admin.delete(`/operations/${id}`)).status).toBe(202);
      await holder.query('ROLLBACK');
      expect(await ended(broker, id)).toMatchObject({ state: 'cancelled' });
      return broker.admin.delete(`/operations/${id}`);
    };
    await unchanged(instance, waiting, 409, 'operation_ended');
    await holder.end();
  });
});

describe('deprovision', () => {
  it('ends a restore that runs, and takes restore points away', async () => {
    const { id } = await inhabited('leaving');
    const others = await surplus();
    await makeBackup(broker, id);
    await restore(id);
    const holder = await session(cluster.superuserUrl());
    await holder.query('BEGIN; LOCK TABLE pg_catalog.pg_authid IN EXCLUSIVE MODE');
    const begun = await restore(id, 'latest', {}, 'respond-async');
    const operation = String(begun.body['id']);
    await operationSoon(broker, operation, ({ phase }) => phase === 'restoring');
    const leaving = broker.platform.deprovision(id);
    await operationSoon(broker, operation, ({ state, phase }) => state !== 'running' || phase === 'restoring');
    await holder.end();
    expect((await leaving).status).toBe(200);
    expect(await ended(broker, operation)).toMatchObject({ state: 'cancelled' });
    expect((await surplus()).filter((each) => !others.includes(each))).toEqual([]);
    expect((await things(broker)).spool).toEqual([]);
    expect((await broker.admin.get(`/backups/${id}`)).status).toBe(200);
    expect(await broker.home.estate.state('SELECT FROM discarded_database')).toEqual([]);
  });
});
