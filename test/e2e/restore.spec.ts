import { ended, expectProblem, makeBackup, operationSoon, things } from '../support/backups.js';
import { type RunningBroker, startBroker } from '../support/broker.js';
import { type Json } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import * as support from '../support/restores.js';
import { count, expectReads } from '../support/restores.js';
import { session, sql } from '../support/sql.js';
import { until } from '../support/until.js';
import { checksum } from '../integration/postgres/recovery.js';

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

const binding = (id: string, name: string, parameters: Json = {}) => support.binding(broker, id, name, parameters);
const inhabited = (id: string) => support.inhabited(broker, id);
const restore = (id: string, name?: string, query?: Record<string, string>, prefer?: string) =>
  support.restore(broker, id, name, query, prefer);
const undo = (id: string) => support.undo(broker, id);
const surplus = () => support.surplus(broker);

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
    await expectReads({ writer, reader }, ['people', 'notes']);
    await sql(writer.uri, `ALTER TABLE people ADD extra int`);
    expectProblem(await restore('second', 'latest', { from: 'never' }), 404, 'unknown_backup');
    expect((await restore('second', 'latest', { from: id })).status).toBe(200);
    await inhabited(id);
    expect((await restore(id, name)).status).toBe(200);
    for (const each of [id, 'second']) expect((await broker.platform.deprovision(each)).status).toBe(200);
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
