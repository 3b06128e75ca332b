import { randomBytes } from 'node:crypto';
import { once as onceOf } from 'node:events';
import { Readable } from 'node:stream';
import { archiveKey } from '../../src/storage/object-key.js';
import { S3Storage } from '../../src/storage/s3-storage.js';
import { type S3Timing } from '../../src/storage/s3-timing.js';
import { once, openFaultyPath, times, type FaultyPath, type Mishap, type Passing } from '../support/faulty-path.js';
import { QUICK, s3Config, UNHURRIED, uploadsIn } from '../support/s3-bench.js';
import { startS3Server, type S3Server } from '../support/s3-server.js';
import { codeOf, keysOf, MIB, patient, read, rejection } from '../support/storage-bench.js';
import { until } from '../support/until.js';

const KEY = archiveKey('instance', 'one');
const MANY = randomBytes(20 * MIB + 5);
const FEW = randomBytes(1000);

type Fits = (passing: Passing) => boolean;
const isBegin: Fits = ({ method, url }) => method === 'POST' && url.includes('uploads');
const isPart: Fits = ({ method, url }) => method === 'PUT' && url.includes('partNumber=');
const isEnd: Fits = ({ method, url }) => method === 'POST' && url.includes('uploadId=');
const isAbort: Fits = ({ method, url }) => method === 'DELETE' && url.includes('uploadId=');
const isWhole: Fits = ({ method, url }) => method === 'PUT' && !url.includes('partNumber=');
const isHead: Fits = ({ method }) => method === 'HEAD';
const isGet: Fits = ({ method, url }) => method === 'GET' && url.includes('.dump');

const completed = `<?xml version="1.0" encoding="UTF-8"?>
<CompleteMultipartUploadResult><Bucket>b</Bucket><Key>k</Key><ETag>"0123-3"</ETag></CompleteMultipartUploadResult>`;

function errorBody(code: string, message: string): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${message}</Message></Error>`;
}

let server: S3Server;
let path: FaultyPath;
let bucket: string;
let storage: S3Storage;
let opened: S3Storage[] = [];
beforeAll(async () => {
  server = await startS3Server();
  path = await openFaultyPath(server.endpoint);
});
afterAll(async () => {
  await path.close();
  await server.remove();
});
beforeEach(async () => {
  bucket = await server.makeBucket();
  path.interfere = () => undefined;
  path.seen.length = 0;
  storage = over(UNHURRIED);
});
afterEach(() => {
  opened.forEach((each) => each.close());
  opened = [];
});

function over(timing: S3Timing, { endpoint } = path): S3Storage {
  const made = new S3Storage(s3Config({ endpoint, keys: server.keys }, bucket), timing);
  opened.push(made);
  return made;
}

const put = (bytes: Buffer, signal = patient()) => storage.put(KEY, Readable.from([bytes]), { signal });
const seen = (fits: Fits) => path.seen.filter(fits).length;

describe('an upload', () => {
  const passing: [string, Fits, Mishap, Buffer][] = [
    ['connection cut in the middle of a part', isPart, { cutRequestAt: 3 * MIB }, MANY],
    ['connection cut in the middle of a small object', isWhole, { cutRequestAt: 500 }, FEW],
    ['bit flipped in a part', isPart, { flipRequestAt: 5 * MIB }, MANY],
    ['bit flipped in a small object', isWhole, { flipRequestAt: 999 }, FEW],
    ['answer to a part lost', isPart, { loseAnswer: true }, MANY],
    ['answer to a small object lost', isWhole, { loseAnswer: true }, FEW],
    ['answer to the end lost', isEnd, { loseAnswer: true }, MANY],
    ['answer to the look at the object lost', isHead, { loseAnswer: true }, MANY],
    ['begin answered 503', isBegin, { answer: { status: 503, headers: { 'retry-after': '0' } } }, MANY],
    ['part answered 500', isPart, { answer: { status: 500 } }, MANY],
    ['end answered 429', isEnd, { answer: { status: 429 } }, MANY],
    ['small object answered 502 by a page', isWhole, { answer: { status: 502, body: '<html>' } }, FEW],
    [
      'end refused within an answer 200',
      isEnd,
      { answer: { status: 200, body: errorBody('InternalError', 'again') } },
      MANY,
    ],
    ['metadata dropped', isHead, { withoutHeader: 'x-amz-meta-upload' }, MANY],
  ];
  it.each(passing)('survives: %s', async (_what, fits, mishap, bytes) => {
    path.interfere = times(2, fits, mishap);
    expect(await put(bytes)).toEqual({ size: bytes.length });
    expect((await read(storage, KEY)).equals(bytes)).toBe(true);
    expect(await uploadsIn(server, bucket)).toEqual([]);
  });

  it('survives the loss of its very first answer, and sweep removes what that has left', async () => {
    path.interfere = once(isBegin, { loseAnswer: true });
    await put(MANY);
    expect(await uploadsIn(server, bucket)).not.toEqual([]);
    expect(await storage.sweep(new Date(Date.now() + 3_600_000), new Set(), patient())).toBe(1);
    expect(await uploadsIn(server, bucket)).toEqual([]);
    expect((await read(storage, KEY)).equals(MANY)).toBe(true);
  });

  it('waits for a service that takes longer to put it together than it may be silent', async () => {
    storage = over(QUICK);
    path.interfere = once(isEnd, { answerAfter: new Promise(() => {}) });
    await put(MANY);
    expect(seen(isEnd)).toBe(1);
    expect((await read(storage, KEY)).equals(MANY)).toBe(true);
  });

  const failing: [string, Fits, Mishap, Buffer, string, RegExp][] = [
    [
      'every part cut',
      isPart,
      { cutRequestAt: 3 * MIB },
      MANY,
      'storage_unreachable',
      /ECONNRESET|socket hang up|EPIPE/,
    ],
    ['every part silent', isPart, { silence: true }, MANY, 'storage_unreachable', /timed out/],
    ['every part flipped', isPart, { flipRequestAt: 1 }, MANY, 'storage_failed', /SHA256/],
    ['part without ETag', isPart, { answer: { status: 200 } }, MANY, 'storage_failed', /not that of an S3 service/],
    [
      'success that was none',
      isWhole,
      { answer: { status: 200, headers: { etag: '"x"' } } },
      FEW,
      'storage_failed',
      /is not there/,
    ],
    ['end that was none', isEnd, { answer: { status: 200, body: completed } }, MANY, 'storage_failed', /is not there/],
    [
      'no room',
      isPart,
      { answer: { status: 507, body: errorBody('Odd', 'no more room here') } },
      MANY,
      'storage_full',
      /no more room here \(Odd/,
    ],
  ];
  it.each(failing)('fails, and leaves nothing: %s', async (_what, fits, mishap, bytes, code, says) => {
    storage = over(QUICK);
    path.interfere = times(Infinity, fits, mishap);
    const error = await rejection(put(bytes));
    expect(codeOf(error)).toBe(code);
    expect(String(error)).toMatch(says);
    expect(await uploadsIn(server, bucket)).toEqual([]);
    expect(await keysOf(storage)).toEqual([]);
  });

  it('whose remains cannot be cleared away tells its own failure, not that one', async () => {
    storage = over(QUICK);
    path.interfere = (passed) => {
      if (isPart(passed)) return { answer: { status: 403, body: errorBody('AccessDenied', 'no parts today') } };
      return isAbort(passed) ? { silence: true } : undefined;
    };
    const error = await rejection(put(MANY));
    expect(String(error)).toContain('no parts today');
    expect(await uploadsIn(server, bucket)).toHaveLength(1);
  });

  it.each([
    ['begins: nothing is left', isBegin, MANY, false],
    ['ends: it is there', isEnd, MANY, true],
    ['stores a small object: it is there', isWhole, FEW, true],
  ])('that is aborted while the service %s', async (_what, fits: Fits, bytes, there) => {
    let answer = () => {};
    path.interfere = once(fits, { answerAfter: new Promise<void>((resolve) => (answer = resolve)) });
    const abort = new AbortController();
    const reason = new Error('not wanted any more');
    const outcome = put(bytes, abort.signal).catch((error: unknown) => error);
    await until('the request', () => seen(fits) === 1);
    abort.abort(reason);
    answer();
    expect(await outcome).toEqual(there ? { size: bytes.length } : reason);
    expect(await keysOf(storage)).toEqual(there ? [KEY] : []);
    expect(await uploadsIn(server, bucket)).toEqual([]);
  });
});

describe('a download', () => {
  beforeEach(async () => {
    await put(MANY);
    path.seen.length = 0;
  });

  it('goes on where its connection was cut, of the same object only', async () => {
    path.interfere = (passed) => (isGet(passed) ? { cutAnswerAt: 3 * MIB } : undefined);
    expect((await read(storage, KEY)).equals(MANY)).toBe(true);
    const gets = path.seen.filter(isGet);
    expect(gets.length).toBeGreaterThan(6);
    for (const { headers } of gets.slice(1)) {
      expect(headers.range).toMatch(new RegExp(`^bytes=\\d+-${MANY.length - 1}$`));
      expect(headers['if-match']).toMatch(/^"/);
    }
  });

  it('of a range goes on within it', async () => {
    path.interfere = times(3, isGet, { cutAnswerAt: MIB });
    const range = { start: 1 * MIB, end: 6 * MIB };
    expect((await read(storage, KEY, range)).equals(MANY.subarray(range.start, range.end + 1))).toBe(true);
  });

  it('goes on when its connection fell silent', async () => {
    storage = over(QUICK);
    path.interfere = once(isGet, { stallAnswerAt: 2 * MIB });
    expect((await read(storage, KEY)).equals(MANY)).toBe(true);
    expect(seen(isGet)).toBe(2);
  });

  it('goes on when it was not read for so long that its connection has gone', async () => {
    const own = await openFaultyPath(server.endpoint);
    storage = over(QUICK, own);
    const { body } = await storage.get(KEY, { signal: patient() });
    await onceOf(body, 'readable');
    await until('the connection to go', async () => (await own.connections()) === 0);
    const chunks: Buffer[] = [];
    for await (const chunk of body as AsyncIterable<Buffer>) chunks.push(chunk);
    expect(Buffer.concat(chunks).equals(MANY)).toBe(true);
    expect(own.seen.filter(isGet)).toHaveLength(2);
    await own.close();
  });

  it.each([
    ['that never brings a byte', { cutAnswerAt: 0 }, 'storage_unreachable'],
    [
      'that is answered by a server gone mad',
      { answer: { status: 500, body: errorBody('InternalError', 'mad') } },
      'storage_failed',
    ],
  ])('%s ends', async (_what, mishap: Mishap, code) => {
    storage = over(QUICK);
    path.interfere = times(Infinity, isGet, mishap);
    expect(codeOf(await rejection(read(storage, KEY)))).toBe(code);
    expect(seen(isGet)).toBeGreaterThanOrEqual(QUICK.attempts);
  });

  it('of an object that is replaced meanwhile does not mix the two', async () => {
    path.interfere = once(isGet, { cutAnswerAt: 3 * MIB });
    const { body } = await storage.get(KEY, { signal: patient() });
    await onceOf(body, 'readable');
    await server.client.putObject({ Bucket: bucket, Key: KEY, Body: randomBytes(MANY.length) });
    const error = await rejection(body.forEach(() => {}));
    expect(codeOf(error)).toBe('storage_failed');
    expect(String(error)).toContain('was replaced');
  });

  it.each([
    [
      'everything',
      { status: 200, headers: { etag: '"x"', 'last-modified': new Date().toUTCString() }, body: 'all of it' },
    ],
    [
      'another range',
      {
        status: 206,
        headers: { etag: '"x"', 'last-modified': new Date().toUTCString(), 'content-range': 'bytes 0-4/100' },
        body: 'other',
      },
    ],
    ['a page', { status: 200, headers: { 'content-type': 'text/html' }, body: '<html>' }],
  ])('of a range that is answered with %s is refused', async (_what, answer) => {
    path.interfere = times(Infinity, isGet, { answer });
    const error = await rejection(storage.get(KEY, { signal: patient(), range: { start: 7 } }));
    expect(codeOf(error)).toBe('storage_failed');
    expect(String(error)).toContain('not that of an S3 service');
  });
});
