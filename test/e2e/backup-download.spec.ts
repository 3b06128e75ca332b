import { createHash } from 'node:crypto';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { backupPath, expectProblem, fill, makeBackup, s3Storage, tenantOf } from '../support/backups.js';
import { type RunningBroker, startBroker } from '../support/broker.js';
import { basic, type Json } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { type S3Server, startS3Server } from '../support/s3-server.js';

let cluster: Cluster;
let s3: S3Server;
let bucket: string;
let broker: RunningBroker;
/** Of a small archive, and one of several pieces. */
let small: Json;
let large: Json;

beforeAll(async () => {
  [cluster, s3] = await Promise.all([startCluster(), startS3Server()]);
  bucket = await s3.makeBucket();
  broker = await startBroker({ cluster, config: { storages: [s3Storage(s3, bucket)] } });
  const [one, big] = [await tenantOf(broker, cluster, 'one'), await tenantOf(broker, cluster, 'big')];
  await one.run('CREATE TABLE t AS SELECT 1 AS a');
  await fill(cluster, big, 4);
  small = (await makeBackup(broker, 'one', { name: 'small' })).body;
  large = (await makeBackup(broker, 'big', { name: 'large', storage: 's3' })).body;
});

afterAll(async () => {
  await broker.stop();
  await Promise.all([cluster.remove(), s3.remove()]);
});

const SMALL = '/download_backup/one/small';
const LARGE = '/download_backup/big/large';

interface Downloaded {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  bytes: Buffer;
  /** False: the connection broke before the answer's end. */
  whole: boolean;
}

function download(path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Downloaded> {
  const { hostname, port } = new URL(broker.url);
  return new Promise((resolve, reject) => {
    const authorization = basic(broker.home.admin);
    const sent = request({ hostname, port, path, method, headers: { authorization, ...headers }, agent: false });
    sent.on('error', reject);
    sent.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', () => undefined);
      response.on('close', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          bytes: Buffer.concat(chunks),
          whole: response.complete,
        }),
      );
    });
    sent.end();
  });
}

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function localFile(name: string): string {
  return join(broker.home.dataDir, 'backups', 'one', name);
}

describe('a download', () => {
  it.each([
    [SMALL, () => small],
    [LARGE, () => large],
    ['/download_backup/one/latest', () => small],
    [`${SMALL}?storage=local`, () => small],
  ])('of %s is the archive with all that tells what it is', async (path, of) => {
    const backup = of();
    const { status, headers, bytes, whole } = await download(path);
    expect({ status, whole }).toEqual({ status: 200, whole: true });
    expect(digest(bytes)).toBe(backup['sha256']);
    const described = {
      'content-type': 'application/octet-stream',
      'content-length': String(backup['size_bytes']),
      'content-disposition': `attachment; filename="${String(backup['instance_id'])}-${String(backup['backup_name'])}.dump"`,
      'accept-ranges': 'bytes',
      etag: `"${String(backup['sha256'])}"`,
      'repr-digest': `sha-256=:${Buffer.from(String(backup['sha256']), 'hex').toString('base64')}:`,
      'last-modified': new Date(String(backup['created_at'])).toUTCString(),
      'cache-control': 'no-store',
    };
    expect(headers).toMatchObject(described);
    const head = await download(path, {}, 'HEAD');
    expect(head).toMatchObject({ status: 200, whole: true, headers: described });
    expect(head.bytes).toHaveLength(0);
  });

  it.each([
    ['bytes=0-9', 0, 10],
    ['bytes=1000000-2000000', 1_000_000, 2_000_001],
    ['bytes=100-', 100, undefined],
    ['bytes=-100', -100, undefined],
    ['bytes=0-', 0, undefined],
    ['bytes=100-99999999999', 100, undefined],
  ])('of the range %s', async (range, start, end) => {
    const { bytes: all } = await download(LARGE);
    const { status, headers, bytes, whole } = await download(LARGE, { range });
    const expected = all.subarray(start, end);
    expect({ status, whole, length: headers['content-length'] }).toEqual({
      status: 206,
      whole: true,
      length: String(expected.length),
    });
    const first = start < 0 ? all.length + start : start;
    expect(headers['content-range']).toBe(`bytes ${first}-${first + expected.length - 1}/${all.length}`);
    expect(bytes.equals(expected)).toBe(true);
    const head = await download(LARGE, { range }, 'HEAD');
    expect(head).toMatchObject({ status: 200, headers: { 'content-length': String(all.length) } });
    expect(head.headers).not.toHaveProperty('content-range');
  });

  it.each(['bytes=a-b', 'lines=0-1', 'bytes=5-2', 'bytes=0-1,5-6', 'bytes=-'])(
    'ignores the range %s',
    async (range) => {
      expect(await download(SMALL, { range })).toMatchObject({ status: 200, whole: true });
    },
  );

  it.each(['bytes=99999999-', 'bytes=-0'])('has nothing of the range %s', async (range) => {
    const answer = await broker.admin.get(SMALL, { headers: { range } });
    expectProblem(answer, 416, 'range_not_satisfiable');
    expect(answer.headers['content-range']).toBe(`bytes */${String(small['size_bytes'])}`);
  });

  it('goes on only with the same archive, and is not repeated when the client has it', async () => {
    const etag = `"${String(small['sha256'])}"`;
    const range = 'bytes=10-';
    expect(await download(SMALL, { range, 'if-range': etag })).toMatchObject({ status: 206 });
    for (const other of ['"other"', `W/${etag}`, new Date().toUTCString()])
      expect(await download(SMALL, { range, 'if-range': other })).toMatchObject({ status: 200, whole: true });
    for (const method of ['GET', 'HEAD'])
      for (const known of [etag, `"a", W/${etag}`, '*'])
        expect(await download(SMALL, { 'if-none-match': known }, method)).toMatchObject({
          status: 304,
          headers: { etag },
        });
    expect(await download(SMALL, { 'if-none-match': '"other"' })).toMatchObject({ status: 200 });
    for (const wanted of [etag, `"a", ${etag}`, '*'])
      expect(await download(SMALL, { range, 'if-match': wanted })).toMatchObject({ status: 206 });
    for (const other of ['"other"', `W/${etag}`])
      expectProblem(
        await broker.admin.get(SMALL, { headers: { range, 'if-match': other } }),
        412,
        'precondition_failed',
      );
  });

  it('of what is not there', async () => {
    expectProblem(await broker.admin.get('/download_backup/one/none'), 404, 'unknown_backup');
    expectProblem(await broker.admin.get('/download_backup/none/small'), 404, 'unknown_backup');
    expectProblem(await broker.admin.get('/download_backup/big/small'), 404, 'unknown_backup');
    expectProblem(await broker.admin.get(`${SMALL}?storage=s3`), 404, 'unknown_backup', /in storage s3/);
    expectProblem(await broker.admin.get(`${SMALL}?storage=x`), 400, 'unknown_storage', /local, s3/);
    expect(await download('/download_backup/one/none', {}, 'HEAD')).toMatchObject({ status: 404 });
  });
});

describe('an archive that is not what its manifest says', () => {
  async function flipped(bytes: Buffer, at: number): Promise<Buffer> {
    const other = Buffer.from(bytes);
    other[at] = (other[at] ?? 0) ^ 1;
    return Promise.resolve(other);
  }

  it('is cut off before its end', async () => {
    const { bytes } = await download(LARGE);
    await s3.client.putObject({ Bucket: bucket, Key: 'big/large.dump', Body: await flipped(bytes, 1000) });
    const cut = await download(LARGE);
    expect(cut).toMatchObject({ status: 200, whole: false });
    expect(cut.bytes.length).toBeLessThan(bytes.length);
    expect((await broker.admin.get(backupPath('big'))).body).toMatchObject({ backups: [{ state: 'damaged' }] });
    await s3.client.putObject({ Bucket: bucket, Key: 'big/large.dump', Body: bytes });
    expect(await download(LARGE)).toMatchObject({ status: 200, whole: true });
    expect((await broker.admin.get(backupPath('big'))).body).toMatchObject({ backups: [{ state: 'available' }] });
  });

  it('is refused where that is known before the first byte', async () => {
    const bytes = await readFile(localFile('small.dump'));
    await writeFile(localFile('small.dump'), await flipped(bytes, bytes.length - 1));
    expectProblem(await broker.admin.get(SMALL), 422, 'archive_damaged');
    await writeFile(localFile('small.dump'), bytes.subarray(1));
    for (const headers of [{}, { range: 'bytes=0-1' }])
      expectProblem(await broker.admin.get(SMALL, { headers }), 422, 'archive_damaged');
    expect(await download(SMALL, {}, 'HEAD')).toMatchObject({ status: 422 });
    await writeFile(localFile('small.dump'), bytes);
  });

  it('is missing when it has gone', async () => {
    const away = localFile('small.dump.away');
    await rename(localFile('small.dump'), away);
    expect((await broker.admin.get(backupPath('one'))).body).toMatchObject({ backups: [{ state: 'missing' }] });
    expectProblem(await broker.admin.get(SMALL), 404, 'archive_missing');
    expectProblem(await broker.admin.get(SMALL, { headers: { 'if-none-match': '*' } }), 404, 'archive_missing');
    await rename(away, localFile('small.dump'));
    await rm(localFile('small.json'));
    expect((await broker.admin.get(backupPath('one', 'small'))).body).toMatchObject({ state: 'missing' });
  });
});
