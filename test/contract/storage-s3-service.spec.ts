import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { type S3StorageConfig } from '../../src/config/storages.js';
import { Secret } from '../../src/config/secret.js';
import { archiveKey } from '../../src/storage/object-key.js';
import { S3Storage } from '../../src/storage/s3-storage.js';
import { S3_TIMING } from '../../src/storage/s3-timing.js';
import { drawCertificate } from '../support/certificate.js';
import { openFaultyPath, type FaultyPath } from '../support/faulty-path.js';
import { QUICK, s3Config, UNHURRIED } from '../support/s3-bench.js';
import { startS3Server, type S3Server } from '../support/s3-server.js';
import {
  CALLS,
  codeOf,
  EVERY_CALL,
  everythingIn,
  keysOf,
  MIB,
  patient,
  read,
  rejection,
} from '../support/storage-bench.js';

const KEY = archiveKey('instance', 'one');
const MANY = randomBytes(20 * MIB);

let server: S3Server;
let path: FaultyPath;
let bucket: string;
let opened: S3Storage[] = [];
beforeAll(async () => {
  server = await startS3Server();
  path = await openFaultyPath(server.endpoint);
  bucket = await server.makeBucket();
});
afterAll(async () => {
  await path.close();
  await server.remove();
});
beforeEach(() => {
  path.interfere = () => undefined;
  path.seen.length = 0;
});
afterEach(() => {
  opened.forEach((each) => each.close());
  opened = [];
});

function open(more: Partial<S3StorageConfig> = {}, timing = UNHURRIED): S3Storage {
  const storage = new S3Storage(
    { ...s3Config({ endpoint: path.endpoint, keys: server.keys }, bucket), ...more },
    timing,
  );
  opened.push(storage);
  return storage;
}

const put = (storage: S3Storage, bytes: Buffer) => storage.put(KEY, Readable.from([bytes]), { signal: patient() });

function errorBody(code: string, message: string): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${message}</Message></Error>`;
}

describe('what a service answers', () => {
  it.each([
    [507, 'InsufficientStorage', 'No more room.', 'storage_full', 1],
    [403, 'AccessDenied', 'Not you.', 'storage_denied', 1],
    [
      403,
      'RequestTimeTooSkewed',
      'The difference between the request time and the current time is too large.',
      'storage_denied',
      1,
    ],
    [400, 'ExpiredToken', 'The provided token has expired.', 'storage_denied', 1],
    [404, 'NoSuchBucket', 'The specified bucket does not exist', 'storage_missing', 1],
    [400, 'InvalidStorageClass', 'The storage class you specified is not valid', 'storage_failed', 1],
    [301, 'PermanentRedirect', 'The bucket is in another region.', 'storage_failed', 1],
    [418, 'OddCode', 'A teapot.', 'storage_failed', 1],
    [500, 'InternalError', 'We encountered an internal error.', 'storage_failed', QUICK.attempts],
    [503, 'SlowDown', 'Please reduce your request rate.', 'storage_unreachable', QUICK.attempts],
    [429, 'TooManyRequests', 'Later.', 'storage_unreachable', QUICK.attempts],
  ])('%d %s', async (status, code, message, expected, tries) => {
    const storage = open({}, QUICK);
    path.interfere = () => ({ answer: { status, headers: { 'retry-after': '0' }, body: errorBody(code, message) } });
    const error = await rejection(keysOf(storage));
    expect(codeOf(error)).toBe(expected);
    expect(String(error)).toContain(`${message.replace(/\.$/, '')} (${code}, HTTP status ${status})`);
    expect(path.seen).toHaveLength(tries);
  });

  it.each(EVERY_CALL)('with pages instead of S3, is found out by %s', async (call) => {
    const storage = open({}, QUICK);
    const headers = { 'content-type': 'text/html', etag: '"page"', 'last-modified': new Date(0).toUTCString() };
    for (const status of [200, 404]) {
      path.interfere = () => ({ answer: { status, headers, body: '<!doctype html><html><body>Welcome & hello' } });
      // What a server sends as the bytes of an object only their hash can tell.
      if (call === 'get' && status === 200) continue;
      const error = await rejection(CALLS[call](storage, KEY, patient()));
      expect(codeOf(error)).toBe('storage_failed');
      expect(String(error)).toMatch(/not that of an S3 service|is (not|still) there although/);
    }
  });

  it('is told without the secrets in it', async () => {
    const { accessKeyId, secretAccessKey } = server.keys;
    const token = randomBytes(20).toString('hex');
    const storage = open({ session_token: new Secret(token) });
    const message = `no ${accessKeyId} with ${secretAccessKey} and ${token} here`;
    path.interfere = () => ({ answer: { status: 403, body: errorBody('AccessDenied', message) } });
    const error = await rejection(keysOf(storage));
    expect(String(error)).toContain('no [redacted] with [redacted] and [redacted] here');
    for (const secret of [accessKeyId, secretAccessKey, token]) expect(everythingIn(error)).not.toContain(secret);
  });
});

describe('settings', () => {
  const writes = () => path.seen.filter(({ method, url }) => method === 'PUT' || url.includes('uploads'));

  it('reach every new object: class, encryption, session', async () => {
    const storage = open({
      storage_class: 'STANDARD_IA',
      server_side_encryption: 'aws:kms',
      kms_key_id: 'alias/backups',
      session_token: new Secret('of-the-session'),
    });
    path.interfere = () => ({ answer: { status: 403, body: errorBody('AccessDenied', 'enough seen') } });
    for (const bytes of [Buffer.from('few'), MANY]) await rejection(put(storage, bytes));
    expect(writes()).toHaveLength(2);
    for (const { headers } of writes())
      expect(headers).toMatchObject({
        'x-amz-storage-class': 'STANDARD_IA',
        'x-amz-server-side-encryption': 'aws:kms',
        'x-amz-server-side-encryption-aws-kms-key-id': 'alias/backups',
        'x-amz-security-token': 'of-the-session',
      });
  });

  it('reach the signature: region', async () => {
    path.interfere = () => ({ answer: { status: 403, body: errorBody('AccessDenied', 'enough seen') } });
    for (const more of [{}, { region: 'eu-central-1' }]) await rejection(keysOf(open(more)));
    expect(path.seen.map(({ headers }) => /\/(\w+-\w+-\d)\/s3\//.exec(headers.authorization ?? '')?.[1])).toEqual([
      'us-east-1',
      'eu-central-1',
    ]);
  });

  it('keep storages of one bucket apart by their prefixes', async () => {
    const [one, two, all] = [open({ prefix: 'one/' }), open({ prefix: 'one/two/' }), open({ prefix: '' })];
    await put(one, Buffer.from('1'));
    await put(two, Buffer.from('2'));
    expect((await read(one, KEY)).toString()).toBe('1');
    expect((await read(two, KEY)).toString()).toBe('2');
    expect(await keysOf(two)).toEqual([KEY]);
    expect(await keysOf(all, 'one/two/')).toEqual([`one/two/${KEY}`]);
  });

  it.each([
    [true, 'nowhere.invalid'],
    [false, 'somebucket.nowhere.invalid'],
  ])('put the bucket into the path: %s', async (force_path_style, host) => {
    const storage = open({ endpoint: 'http://nowhere.invalid', bucket: 'somebucket', force_path_style }, QUICK);
    const error = await rejection(storage.check(patient()));
    expect(String(error)).toMatch(new RegExp(`(ENOTFOUND|EAI_AGAIN) ${host.replaceAll('.', '\\.')}$`));
  });
});

describe('the default credential chain', () => {
  const before = { ...process.env };
  let home: string;
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'broker-home-'));
    Object.assign(process.env, { HOME: home, AWS_EC2_METADATA_DISABLED: 'true' });
  });
  afterEach(() => {
    for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name];
    Object.assign(process.env, before);
    rmSync(home, { recursive: true, force: true });
  });
  const chained = () => {
    const config = s3Config(server, bucket);
    delete config.access_key_id;
    delete config.secret_access_key;
    const storage = new S3Storage(config, UNHURRIED);
    opened.push(storage);
    return storage;
  };

  it('is used where no keys are set', async () => {
    process.env['AWS_ACCESS_KEY_ID'] = server.keys.accessKeyId;
    process.env['AWS_SECRET_ACCESS_KEY'] = server.keys.secretAccessKey;
    await chained().check(patient());
  });

  it('that finds nothing is a denial', async () => {
    const error = await rejection(chained().check(patient()));
    expect(codeOf(error)).toBe('storage_denied');
    expect(String(error)).toMatch(/credentials/i);
  });
});

describe('TLS', () => {
  const pair = drawCertificate('s3');
  const stranger = drawCertificate('another');
  let secure: FaultyPath;
  beforeAll(async () => {
    secure = await openFaultyPath(server.endpoint, pair);
  });
  afterAll(() => secure.close());

  it('of an own authority serves, for large bodies too', async () => {
    const storage = open({ endpoint: secure.endpoint, ca: pair.certificate });
    await put(storage, MANY);
    expect((await read(storage, KEY)).equals(MANY)).toBe(true);
  });

  it.each([
    ['unknown authority', () => open({ endpoint: secure.endpoint }, QUICK), /self-signed certificate/],
    ['other authority', () => open({ endpoint: secure.endpoint, ca: stranger.certificate }, QUICK), /certificate/],
    [
      'plain text where TLS is expected',
      () => open({ endpoint: path.endpoint.replace('http:', 'https:') }, QUICK),
      /SSL|EPROTO/,
    ],
    [
      'TLS where plain text is expected',
      () => open({ endpoint: secure.endpoint.replace('https:', 'http:') }, QUICK),
      /hang up|ECONNRESET/,
    ],
  ])('%s cannot be reached, whatever the body', async (_what, make, says) => {
    const storage = make();
    for (const call of ['put of a few bytes', 'put of many bytes', 'check'] as const) {
      const error = await rejection(CALLS[call](storage, KEY, patient()));
      expect(codeOf(error)).toBe('storage_unreachable');
      expect(String(error)).toMatch(says);
    }
  });
});

it('finds a silent server within a minute', () => {
  const { connect, silence, patience, farewell } = S3_TIMING;
  // Of a socket that is written to, Node sees the silence at its second expiry; the SDK sets the limit after 3 s.
  const longestTry = connect + 3_000 + 2 * silence;
  expect(patience).toBeLessThanOrEqual(silence);
  expect(longestTry + farewell).toBeLessThan(60_000);
});
