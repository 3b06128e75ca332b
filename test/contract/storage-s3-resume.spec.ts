import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once as onceOf } from 'node:events';
import { createReadStream, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { archiveKey } from '../../src/storage/object-key.js';
import { S3Storage } from '../../src/storage/s3-storage.js';
import { once, openFaultyPath, times, type FaultyPath } from '../support/faulty-path.js';
import { s3Config, UNHURRIED, uploadsIn } from '../support/s3-bench.js';
import { startS3Server, type S3Server } from '../support/s3-server.js';
import { codeOf, failingAfter, keysOf, MIB, patient, read, rejection, silentAfter } from '../support/storage-bench.js';
import { until } from '../support/until.js';

const KEY = archiveKey('instance', 'one');
const BYTES = randomBytes(60 * MIB + 17);
const PARTS = 8;
const isPart = ({ method, url }: { method: string; url: string }) => method === 'PUT' && url.includes('partNumber=');
const isCompletion = ({ method, url }: { method: string; url: string }) =>
  method === 'POST' && url.includes('uploadId=');

let server: S3Server;
let path: FaultyPath;
let folder: string;
let file: string;
beforeAll(async () => {
  server = await startS3Server();
  path = await openFaultyPath(server.endpoint);
  folder = mkdtempSync(join(tmpdir(), 'broker-upload-'));
  file = join(folder, 'archive');
  writeFileSync(file, BYTES);
});
afterAll(async () => {
  await path.close();
  await server.remove();
  rmSync(folder, { recursive: true, force: true });
});

describe('an upload that another process can go on with', () => {
  let bucket: string;
  let storage: S3Storage;
  let tokens: string[];
  beforeEach(async () => {
    bucket = await server.makeBucket();
    storage = new S3Storage(s3Config({ endpoint: path.endpoint, keys: server.keys }, bucket), UNHURRIED);
    tokens = [];
    path.interfere = () => undefined;
    path.seen.length = 0;
  });
  afterEach(() => storage.close());

  const put = (body: Readable, token?: string, signal = patient()) =>
    storage.put(KEY, body, {
      signal,
      resumable: { ...(token ? { token } : {}), begun: (begun) => Promise.resolve(void tokens.push(begun)) },
    });
  const sentParts = () => path.seen.filter(isPart).length;
  const whole = async () => {
    expect((await read(storage, KEY)).equals(BYTES)).toBe(true);
    expect(await uploadsIn(server, bucket)).toEqual([]);
  };
  /** Leaves five parts. */
  const interrupted = async () => {
    const fault = new Error('the source broke');
    const body = Readable.from(
      (function* () {
        yield BYTES.subarray(0, 40 * MIB);
        yield BYTES.subarray(40 * MIB, 41 * MIB);
        throw fault;
      })(),
    );
    expect(await rejection(put(body))).toBe(fault);
    expect(await keysOf(storage)).toEqual([]);
    expect(tokens).toHaveLength(1);
    const parts = sentParts();
    path.seen.length = 0;
    return { token: tokens[0] ?? '', parts };
  };

  it('sends only what is not there yet', async () => {
    const { token, parts } = await interrupted();
    expect(parts).toBeGreaterThanOrEqual(3);
    const told: number[] = [];
    await storage.put(KEY, createReadStream(file), {
      signal: patient(),
      onProgress: (bytes) => told.push(bytes),
      resumable: { token, begun: (begun) => Promise.resolve(void tokens.push(begun)) },
    });
    expect(sentParts()).toBeLessThanOrEqual(PARTS - 2);
    expect(told.at(-1)).toBe(BYTES.length);
    expect(tokens).toEqual([token]);
    await whole();
  });

  it('goes on after its process was killed, from any moment on', async () => {
    let token: string | undefined;
    for (const killAt of [1, 3, 5]) token = await uploadUntil(killAt, token);
    path.seen.length = 0;
    expect(await put(createReadStream(file), token)).toEqual({ size: BYTES.length });
    expect(sentParts()).toBeLessThanOrEqual(PARTS - 5);
    await whole();
  });

  /** Kills the process once it has so many parts. */
  async function uploadUntil(parts: number, token?: string): Promise<string> {
    const { keys, endpoint } = server;
    const settings = { ...s3Config({ endpoint, keys }, bucket), secret_access_key: keys.secretAccessKey };
    const uploader = join(import.meta.dirname, '../support/s3-uploader.mjs');
    const child = spawn(process.execPath, [uploader, JSON.stringify(settings), KEY, file, token ?? ''], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = onceOf(child, 'exit');
    let known = token;
    for await (const line of createInterface(child.stdout)) {
      const told = JSON.parse(line) as { token?: string; bytes?: number; size?: number };
      known = told.token ?? known;
      if ((told.bytes ?? 0) >= parts * 8 * MIB) child.kill('SIGKILL');
    }
    expect((await ended)[1]).toBe('SIGKILL');
    expect(known).toBeDefined();
    return known ?? '';
  }

  it('does not trust a part that is another one', async () => {
    const { token } = await interrupted();
    const UploadId = token.split('.').slice(3).join('.');
    await server.client.uploadPart({ Bucket: bucket, Key: KEY, UploadId, PartNumber: 2, Body: randomBytes(8 * MIB) });
    await server.client.uploadPart({ Bucket: bucket, Key: KEY, UploadId, PartNumber: 3, Body: randomBytes(MIB) });
    await put(createReadStream(file), token);
    await whole();
  });

  it('leaves out parts of a longer body that was sent before', async () => {
    const { token } = await interrupted();
    const short = BYTES.subarray(0, 9 * MIB);
    expect(await put(Readable.from([short]), token)).toEqual({ size: short.length });
    expect((await read(storage, KEY)).equals(short)).toBe(true);
  });

  it('keeps its parts at an abort, and can be given up twice', async () => {
    const abort = new AbortController();
    const reason = new Error('the broker stops');
    const body = silentAfter(20 * MIB);
    const stopped = rejection(put(body, undefined, abort.signal));
    await until('two parts', () => sentParts() === 2);
    abort.abort(reason);
    expect(await stopped).toBe(reason);
    expect(await uploadsIn(server, bucket)).not.toEqual([]);
    await storage.discard(tokens[0] ?? '', KEY, patient());
    expect(await uploadsIn(server, bucket)).toEqual([]);
    await storage.discard(tokens[0] ?? '', KEY, patient());
    await storage.discard('never given', KEY, patient());
    expect(await keysOf(storage)).toEqual([]);
  });

  it('begins anew, and says so, when the storage knows it no longer', async () => {
    const { token } = await interrupted();
    await storage.discard(token, KEY, patient());
    await put(createReadStream(file), token);
    expect(tokens).toHaveLength(2);
    expect(tokens[1]).not.toBe(token);
    await whole();
  });

  it('is found complete when only its answer was lost with the process', async () => {
    path.interfere = times(9, isCompletion, { loseAnswer: true });
    await put(createReadStream(file));
    const [token = ''] = tokens;
    path.seen.length = 0;
    expect(await put(createReadStream(file), token)).toEqual({ size: BYTES.length });
    expect(sentParts()).toBe(0);
    const other = await rejection(put(Readable.from([BYTES, BYTES]), token));
    expect(codeOf(other)).toBe('storage_failed');
    await whole();
  });

  it('is not begun for what one request holds, and leaves nothing', async () => {
    await put(Readable.from(['small']));
    const fault = new Error('the source broke');
    expect(await rejection(put(failingAfter(5 * MIB, fault)))).toBe(fault);
    expect(tokens).toEqual([]);
    expect(await uploadsIn(server, bucket)).toEqual([]);
    expect((await read(storage, KEY)).toString()).toBe('small');
  });

  it('leaves nothing when its token could not be kept', async () => {
    const fault = new Error('the state database is away');
    const begun = () => Promise.reject(fault);
    const stored = storage.put(KEY, createReadStream(file), { signal: patient(), resumable: { begun } });
    expect(await rejection(stored)).toBe(fault);
    expect(await uploadsIn(server, bucket)).toEqual([]);
  });

  it('is not swept while its token is named, and nobody else’s upload ever is', async () => {
    const { token } = await interrupted();
    await server.client.createMultipartUpload({ Bucket: bucket, Key: 'of/another/program.bin' });
    const later = new Date(Date.now() + 3_600_000);
    expect(await storage.sweep(later, new Set([token]), patient())).toBe(0);
    await put(createReadStream(file), token);
    path.interfere = once(() => false, {});
    expect((await read(storage, KEY)).equals(BYTES)).toBe(true);
    expect(await storage.sweep(later, new Set(), patient())).toBe(0);
    expect(await uploadsIn(server, bucket)).toHaveLength(1);
  });
});
