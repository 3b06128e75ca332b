import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ended, expectProblem, makeBackup, operationSoon, things } from '../support/backups.js';
import { type RunningBroker, startBroker } from '../support/broker.js';
import { type Answer } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import * as support from '../support/restores.js';
import { count, type Inhabited } from '../support/restores.js';
import { session } from '../support/sql.js';
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

const restore = (id: string, name?: string, query?: Record<string, string>, prefer?: string) =>
  support.restore(broker, id, name, query, prefer);
const undo = (id: string) => support.undo(broker, id);

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

describe('what fails changes nothing', () => {
  let instance: Inhabited;
  let name: string;
  let file: string;
  beforeAll(async () => {
    instance = await support.inhabited(broker, 'safe');
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
    const ask = () => restore('safe', 'elsewhere');
    const refused = await unchanged(instance, ask, 422, 'restore_failed', /escaping|permission denied/);
    const { errors, operation_id: id } = refused.body;
    expect(errors).toEqual(expect.arrayContaining([expect.stringMatching(/pg_read_file/)]));
    const { error } = (await broker.admin.get(`/operations/${String(id)}`)).body;
    expect(error).toEqual({ code: 'restore_failed', detail: refused.body['detail'], errors });
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
