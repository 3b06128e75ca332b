import { mkdtempSync, readFileSync, rmSync, existsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHash, randomBytes } from 'node:crypto';
import { PassThrough, Readable } from 'node:stream';
import { archiveKey } from '../../src/storage/object-key.js';
import {
  codeOf,
  digest,
  failingAfter,
  keysOf,
  MIB,
  patient,
  randomBody,
  read,
  rejection,
  silentAfter,
  type StorageBench,
} from '../support/storage-bench.js';
import { until } from '../support/until.js';

const KEY = archiveKey('instance', 'one');

export function describeWriting(bench: () => StorageBench): void {
  const put = (body: Readable, signal = patient()) => bench().provider.put(KEY, body, { signal });

  describe('put', () => {
    it.each([0, 1, 1000, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 16 * MIB, 27 * MIB + 5])('keeps %d bytes', async (size) => {
      const bytes = randomBytes(size);
      const chunks = Array.from({ length: Math.ceil(size / 700_001) }, (_, at) =>
        bytes.subarray(at * 700_001, (at + 1) * 700_001),
      );
      expect(await put(Readable.from(chunks))).toEqual({ size });
      expect((await read(bench().other, KEY)).equals(bytes)).toBe(true);
      expect(await bench().leftovers()).toEqual([]);
    });

    it('keeps 200 MB as they came, and tells of them', async () => {
      const seed = randomBytes(16);
      const size = 200_000_000;
      const told: number[] = [];
      const hash = createHash('sha256');
      const body = randomBody(size, seed)
        .on('data', (chunk: Buffer) => hash.update(chunk))
        .pause();
      const { provider, other } = bench();
      await provider.put(KEY, body, { signal: patient(), sizeHint: size, onProgress: (bytes) => told.push(bytes) });
      expect(told.length).toBeGreaterThan(10);
      expect(told).toEqual(told.toSorted((a, b) => a - b));
      expect(told.at(-1)).toBe(size);
      const { body: stored } = await other.get(KEY, { signal: patient() });
      expect(await digest(stored)).toEqual({ size, sha256: hash.digest('hex') });
    });

    it('takes texts, and a body that is slow', async () => {
      const body = new PassThrough();
      const stored = put(body);
      for (const text of ['one ', 'byte ', 'after ', 'another']) {
        body.write(text);
        await new Promise(setImmediate);
      }
      body.end();
      expect(await stored).toEqual({ size: 22 });
      expect((await read(bench().other, KEY)).toString()).toBe('one byte after another');
    });

    it('replaces an object, and its etag', async () => {
      const { provider, other } = bench();
      await put(Readable.from(['before']));
      const { etag } = await other.stat(KEY, patient());
      await put(Readable.from(['after!']));
      expect((await read(provider, KEY)).toString()).toBe('after!');
      expect((await other.stat(KEY, patient())).etag).not.toBe(etag);
    });

    it.each([
      ['nothing', undefined],
      ['the former object', 'former'],
    ])('shows %s until it resolves', async (_what, former) => {
      if (former !== undefined) await put(Readable.from([former]));
      const body = silentAfter(20 * MIB);
      const stored = put(body);
      await until('the body to be read', () => body.readableLength === 0);
      expect(await keysOf(bench().other)).toEqual(former === undefined ? [] : [KEY]);
      if (former === undefined)
        expect(codeOf(await rejection(bench().other.stat(KEY, patient())))).toBe('archive_missing');
      else expect((await read(bench().other, KEY)).toString()).toBe(former);
      body.end();
      await stored;
      expect((await bench().other.stat(KEY, patient())).size).toBe(20 * MIB);
    });
  });

  describe('put that does not end well', () => {
    const former = 'former';
    beforeEach(async () => {
      await put(Readable.from([former]));
    });
    afterEach(async () => {
      expect((await read(bench().other, KEY)).toString()).toBe(former);
      expect(await keysOf(bench().other)).toEqual([KEY]);
      expect(await bench().leftovers()).toEqual([]);
    });

    it.each([0, 1, 5 * MIB, 8 * MIB, 30 * MIB])('body that fails after %d bytes', async (size) => {
      const fault = new Error('the source broke');
      const body = failingAfter(size, fault);
      expect(await rejection(put(body))).toBe(fault);
      expect(body.destroyed).toBe(true);
    });

    it('body that is destroyed in the middle, without a word', async () => {
      const body = silentAfter(10 * MIB);
      const stored = rejection(put(body));
      await until('the body to be read', () => body.readableLength === 0);
      body.destroy();
      expect(await stored).toMatchObject({ code: 'ERR_STREAM_PREMATURE_CLOSE' });
    });

    it('body that broke, or ended, before anybody read it', async () => {
      const fault = new Error('the source broke');
      const broken = new PassThrough();
      broken.on('error', () => {});
      broken.destroy(fault);
      await until('the body to be closed', () => broken.closed);
      expect(await rejection(put(broken))).toBe(fault);
      const spent = Readable.from(['spent']);
      await digest(spent);
      expect(String(await rejection(put(spent)))).toMatch(/ended before it was read/);
    });

    it('abort before it begins', async () => {
      const reason = new Error('not wanted');
      const body = silentAfter(1);
      expect(await rejection(put(body, AbortSignal.abort(reason)))).toBe(reason);
      expect(body.destroyed).toBe(true);
    });

    it.each([0, 1000, 8 * MIB, 30 * MIB])('abort while the body is silent after %d bytes', async (size) => {
      const abort = new AbortController();
      const reason = new Error('not wanted any more');
      const body = silentAfter(size);
      const stored = rejection(put(body, abort.signal));
      await until('the body to be read', () => body.readableLength === 0);
      abort.abort(reason);
      expect(await stored).toBe(reason);
      expect(body.destroyed).toBe(true);
    });

    it('abort at any moment of an endless body', async () => {
      for (const at of [1, 3, 9, 17, 26, 40]) {
        const abort = new AbortController();
        const reason = new Error(`not wanted after ${at} MiB`);
        let passed = 0;
        const body = randomBody(1000 * MIB)
          .on('data', () => ++passed === at && abort.abort(reason))
          .pause();
        expect(await rejection(put(body, abort.signal))).toBe(reason);
        expect(body.destroyed).toBe(true);
      }
    });
  });

  describe('several writers of one key', () => {
    it('leave the whole object of one of them, and readers never see another', async () => {
      const { provider, other } = bench();
      const writers = Array.from({ length: 4 }, (_, index) => Buffer.alloc(9 * MIB, index));
      await put(Readable.from([Buffer.alloc(9 * MIB, 99)]));
      let writing = true;
      const look = async () => {
        while (writing) {
          const seen = await read(other, KEY).catch(codeOf);
          // A storage may cut off who reads what has just been replaced: that is no wrong byte.
          if (typeof seen === 'string') expect(seen).toBe('storage_failed');
          else expect(seen.equals(Buffer.alloc(9 * MIB, seen[0]))).toBe(true);
        }
      };
      const looking = look();
      const outcomes = await Promise.allSettled(
        writers.map((bytes, index) =>
          (index % 2 ? provider : other).put(KEY, Readable.from([bytes]), { signal: patient() }),
        ),
      );
      writing = false;
      await looking;
      const resolved = writers.filter((_, index) => outcomes[index]?.status === 'fulfilled');
      const last = await read(provider, KEY);
      expect(resolved.some((bytes) => bytes.equals(last))).toBe(true);
      expect(await bench().leftovers()).toEqual([]);
    });
  });

  describe('putFile', () => {
    let folder: string;
    beforeEach(() => {
      folder = mkdtempSync(join(tmpdir(), 'broker-file-'));
    });
    afterEach(() => rmSync(folder, { recursive: true, force: true }));

    it.each([0, 10, 20 * MIB + 3])('keeps a file of %d bytes; it is there, unless it was moved', async (size) => {
      const file = join(folder, 'archive');
      const bytes = randomBytes(size);
      writeFileSync(file, bytes);
      const told: number[] = [];
      const { provider, other } = bench();
      const { moved, ...rest } = await provider.putFile(KEY, file, {
        signal: patient(),
        onProgress: (n) => told.push(n),
      });
      expect(rest).toEqual({ size });
      expect(told.at(-1)).toBe(size);
      expect((await read(other, KEY)).equals(bytes)).toBe(true);
      expect(existsSync(file)).toBe(!moved);
      if (!moved) expect(readFileSync(file).equals(bytes)).toBe(true);
    });

    it('leaves the file alone when it was aborted, and says so when there is none', async () => {
      const file = join(folder, 'archive');
      writeFileSync(file, 'kept');
      const reason = new Error('not wanted');
      const { provider } = bench();
      expect(await rejection(provider.putFile(KEY, file, { signal: AbortSignal.abort(reason) }))).toBe(reason);
      expect(readFileSync(file, 'utf8')).toBe('kept');
      const missing = await rejection(provider.putFile(KEY, join(folder, 'none'), { signal: patient() }));
      expect(missing).toMatchObject({ code: 'ENOENT' });
      expect(await keysOf(bench().other)).toEqual([]);
    });
  });
}
