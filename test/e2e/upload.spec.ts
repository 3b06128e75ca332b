import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { ended, expectProblem, things } from '../support/backups.js';
import { type RunningBroker, startBroker } from '../support/broker.js';
import { type Answer, type Json } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { type Credentials } from '../support/platform.js';
import { binding, expectReads } from '../support/restores.js';
import { sql } from '../support/sql.js';
import { until } from '../support/until.js';
import { digestOf, foreignArchive, upload } from '../support/uploads.js';

let cluster: Cluster;
let broker: RunningBroker;
let archive: Buffer;
let reader: Credentials;
let writer: Credentials;

beforeAll(async () => {
  cluster = await startCluster();
  broker = await startBroker({ cluster, config: { http: { max_upload: '4MiB' } } });
  await broker.platform.provision('i1');
  writer = await binding(broker, 'i1', 'b1');
  reader = await binding(broker, 'i1', 'b2', { access: 'read-only' });
  archive = await foreignArchive(
    cluster,
    `CREATE ROLE stranger; CREATE ROLE reader; CREATE EXTENSION citext; COMMENT ON EXTENSION citext IS 'mine';
     CREATE TABLE words (id int PRIMARY KEY, word citext NOT NULL);
     INSERT INTO words SELECT i, 'Word ' || i FROM generate_series(1, 500) i;
     ALTER TABLE words OWNER TO stranger; GRANT SELECT ON words TO reader;
     CREATE PUBLICATION news FOR TABLE words;`,
  );
});
afterAll(async () => {
  await broker.stop();
  await cluster.remove();
});

let names = 0;
const fresh = () => `u${++names}`;

/** What an upload that failed must have left as it was. */
async function state() {
  const { spool, local } = await things(broker);
  const backups = await broker.home.estate.state('SELECT name FROM backup ORDER BY name');
  return { spool, local: local.sort(), backups };
}

async function refused(ask: () => Promise<Answer>, status: number, code: string, says?: RegExp): Promise<Answer> {
  const before = await state();
  const answer = await ask();
  expectProblem(answer, status, code, says);
  await until('no operation', async () => (await broker.home.estate.look()).active.length === 0);
  expect(await state()).toEqual(before);
  return answer;
}

describe('an upload', () => {
  it('becomes a backup that can be restored; what is left out is named', async () => {
    const name = fresh();
    const answer = await upload(broker, ['i1', name], archive, { headers: { 'content-digest': digestOf(archive) } });
    expect(answer.status).toBe(201);
    expect(answer.body).toMatchObject({
      instance_id: 'i1',
      backup_name: name,
      storage: 'local',
      state: 'available',
      origin: 'upload',
      size_bytes: archive.length,
      rows: null,
      requested_by: { realm: 'admin', username: 'admin' },
      left_out: expect.arrayContaining([expect.stringMatching(/PUBLICATION.*news/)]) as string[],
      operation_id: expect.any(String) as string,
    });
    expect((await broker.admin.get(`/backups/i1/${name}`)).body).toMatchObject({
      origin: 'upload',
      state: 'available',
    });
    expect((await things(broker)).spool).toEqual([]);
    const restored = await broker.admin.send('POST', `/restore_instance/i1/${name}`);
    expect(restored.status).toBe(200);
    expect(restored.body).toMatchObject({ rows: 500, tables: 1, backup: { backup_name: name } });
    expect(restored.body['left_out']).toEqual(
      expect.arrayContaining([expect.stringMatching(/PUBLICATION.*news/), expect.stringMatching(/rights/)]),
    );
    await expectReads({ writer, reader }, ['words']);
    await sql(writer.uri, `INSERT INTO words VALUES (501, 'new'); ALTER TABLE words ADD note text`);
    expect(await sql(writer.uri, `SELECT count(*)::int AS n FROM words WHERE word LIKE 'word%'`)).toEqual([{ n: 500 }]);
  });

  it('comes by POST, in chunks, without a content type, with the other digest', async () => {
    expect((await upload(broker, ['i1', fresh()], archive, {}, 'POST')).status).toBe(201);
    const chunked = { headers: { 'content-length': undefined, 'transfer-encoding': 'chunked' } };
    expect((await upload(broker, ['i1', fresh()], archive, chunked)).status).toBe(201);
    const headers = { 'content-type': undefined, 'repr-digest': digestOf(archive) };
    expect((await upload(broker, ['i1', fresh()], archive, { headers })).status).toBe(201);
  });

  it('is answered 202 once it has come, where the caller prefers that', async () => {
    const answer = await upload(broker, ['i1', fresh()], archive, { headers: { prefer: 'respond-async' } });
    expect(answer.status).toBe(202);
    expect(answer.headers['location']).toBe(`/operations/${String(answer.body['id'])}`);
    expect(await ended(broker, String(answer.body['id']))).toMatchObject({ state: 'succeeded', kind: 'upload' });
  });
});

describe('archives that are none', () => {
  const plain = '-- a dump\nCREATE TABLE t (i int);\n';
  /** With the byte of the header that is that part of the format's version raised. */
  const newer = (at: number) => () => Buffer.from(archive).fill(0xff, at, at + 1);
  const cases: [what: string, bytes: () => Buffer, code: string, says: RegExp][] = [
    ['nothing', () => Buffer.alloc(0), 'archive_invalid', /empty/],
    ['plain SQL', () => Buffer.from(plain), 'archive_invalid', /plain SQL/],
    ['gzip', () => gzipSync(archive), 'archive_invalid', /gzip/],
    ['noise', () => randomBytes(100_000), 'archive_invalid', /archive/],
    ['its first bytes', () => archive.subarray(0, 8), 'archive_invalid', /ends/],
    ['a newer format', newer(6), 'archive_too_new', /newer/],
    ['a newer major format', newer(5), 'archive_too_new', /newer/],
  ];
  it.each(cases)('%s', async (_what, bytes, code, says) => {
    await refused(() => upload(broker, ['i1', fresh()], bytes()), 422, code, says);
  });

  it('a truncated one, wherever', async () => {
    for (const share of [0.2, 0.5, 0.9, 0.99]) {
      const answer = await upload(broker, ['i1', fresh()], archive.subarray(0, Math.floor(archive.length * share)));
      expect([answer.status, answer.body['code']]).toEqual([422, expect.stringMatching(/^archive_(damaged|invalid)$/)]);
    }
    expect((await state()).spool).toEqual([]);
  });

  it('tar', async () => {
    const tar = await foreignArchive(cluster, 'CREATE TABLE t (i int)', ['-Ft']);
    await refused(() => upload(broker, ['i1', fresh()], tar), 422, 'archive_invalid', /tar/);
  });

  it('one that unpacks to more than the plan allows', async () => {
    const plan = (await broker.home.estate.state('SELECT limits FROM service_instance'))[0]?.['limits'] as Json;
    const tight = JSON.stringify({ ...plan, storage_bytes: 1_000_000 });
    await broker.home.estate.state('UPDATE service_instance SET limits = $1', [tight]);
    try {
      const bomb = await foreignArchive(
        cluster,
        `CREATE TABLE bomb AS SELECT repeat('0', 1000) AS zeros FROM generate_series(1, 20000)`,
        ['-Fc', '-Z9'],
      );
      expect(bomb.length).toBeLessThan(300_000);
      await refused(() => upload(broker, ['i1', fresh()], bomb), 422, 'archive_rejected', /2000000 bytes/);
    } finally {
      await broker.home.estate.state('UPDATE service_instance SET limits = $1', [JSON.stringify(plan)]);
    }
  });
});

describe('refusals', () => {
  it.each([
    [{ 'content-digest': digestOf(Buffer.from('other')) }, 'digest_mismatch', /sha-256/],
    [{ 'content-digest': 'sha-256=nonsense' }, 'invalid_request', /content-digest/],
    [{ 'content-digest': 'sha-256=:AAAA:' }, 'invalid_request', /32 bytes/],
    [{ 'content-range': 'bytes 0-9/10' }, 'invalid_request', /content-range/],
  ])('400 for headers %j', async (headers, code, says) => {
    await refused(() => upload(broker, ['i1', fresh()], archive, { headers }), 400, code, says);
  });

  it('400 for names and storages that cannot be', async () => {
    for (const name of ['latest', '.hidden', 'a b', 'x'.repeat(129)])
      await refused(() => upload(broker, ['i1', name], archive), 400, 'invalid_request', /backup_name/);
    const query = { storage: 'nowhere' };
    await refused(() => upload(broker, ['i1', fresh()], archive, { query }), 400, 'unknown_storage', /local/);
  });

  it('404, 409, 415', async () => {
    await refused(() => upload(broker, ['unknown', fresh()], archive), 404, 'unknown_instance');
    await refused(() => upload(broker, ['i1', 'u1'], archive), 409, 'backup_exists', /u1/);
    for (const headers of [
      { 'content-type': 'application/json' },
      { 'content-type': 'text/plain' },
      { 'content-encoding': 'gzip' },
    ])
      await refused(() => upload(broker, ['i1', fresh()], archive, { headers }), 415, 'unsupported_media_type');
  });

  it('413, announced or in chunks', async () => {
    const large = Buffer.concat([archive, Buffer.alloc(5 * 1024 * 1024)]);
    await refused(() => upload(broker, ['i1', fresh()], large), 413, 'too_large', /4194304/);
    const headers = { 'content-length': undefined, 'transfer-encoding': 'chunked' };
    await refused(() => upload(broker, ['i1', fresh()], large, { headers }), 413, 'too_large', /4194304/);
  });

  it('507 where the spool has no room', async () => {
    const tight = await startBroker({ cluster, config: { spool: { max_bytes: '1KiB' } } });
    try {
      await tight.platform.provision('i1');
      expectProblem(await upload(tight, ['i1', 'a'], archive), 507, 'spool_full', /missing/);
      const headers = { 'content-length': undefined, 'transfer-encoding': 'chunked' };
      expectProblem(await upload(tight, ['i1', 'a'], archive, { headers }), 507, 'spool_full');
      expect((await things(tight)).spool).toEqual([]);
    } finally {
      await tight.platform.deprovision('i1');
      await tight.stop();
    }
  });

  it('octets elsewhere', async () => {
    const raw = { raw: archive, headers: { 'content-type': 'application/octet-stream' } };
    expectProblem(await broker.admin.send('POST', '/backup_instance/i1', raw), 415, 'unsupported_media_type');
  });
});
