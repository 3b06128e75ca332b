import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { once } from 'node:events';
import { archiveKey } from '../../src/storage/object-key.js';
import { ObjectNotFoundError } from '../../src/storage/storage-provider.js';
import {
  codeOf,
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
const BYTES = randomBytes(3 * MIB);
const SIZE = BYTES.length;

export function describeReading(bench: () => StorageBench): void {
  const put = (key: string, bytes: Buffer | string) =>
    bench().provider.put(key, Readable.from([bytes]), { signal: patient() });

  describe('get', () => {
    it('tells size, etag and time of the whole object, as stat does', async () => {
      const before = Date.now();
      await put(KEY, BYTES);
      const { body, ...told } = await bench().other.get(KEY, { signal: patient(), range: { start: 5, end: 9 } });
      body.destroy();
      const stat = await bench().other.stat(KEY, patient());
      expect(stat).toMatchObject({ key: KEY, size: SIZE });
      expect(told.size).toBe(stat.size);
      expect(told.etag).toBe(stat.etag);
      expect(told.etag).toMatch(/^[^"]+$/);
      // S3 tells whole seconds only.
      expect(Math.floor(told.modifiedAt.getTime() / 1000)).toBe(Math.floor(stat.modifiedAt.getTime() / 1000));
      expect(told.modifiedAt.getTime()).toBeGreaterThan(before - 2000);
      expect(told.modifiedAt.getTime()).toBeLessThan(Date.now() + 2000);
    });

    it.each([
      [{ start: 0 }],
      [{ start: 0, end: 0 }],
      [{ start: 1, end: 2 * MIB }],
      [{ start: SIZE - 1 }],
      [{ start: SIZE - 10, end: SIZE + 10 }],
      [{ start: 0, end: Number.MAX_SAFE_INTEGER }],
    ])('gives the bytes of %j', async (range: { start: number; end?: number }) => {
      await put(KEY, BYTES);
      const end = range.end === undefined ? SIZE : range.end + 1;
      expect((await read(bench().other, KEY, range)).equals(BYTES.subarray(range.start, end))).toBe(true);
    });

    it.each([[{ start: SIZE }], [{ start: SIZE + 1, end: SIZE + 5 }], [{ start: 5, end: 4 }]])(
      'refuses %j',
      async (range: { start: number; end?: number }) => {
        await put(KEY, BYTES);
        const error = await rejection(bench().other.get(KEY, { signal: patient(), range }));
        expect(error).toMatchObject({ code: 'range_not_satisfiable', status: 416 });
        expect(String(error)).toContain(String(SIZE));
      },
    );

    it('refuses any range of an empty object', async () => {
      await put(KEY, '');
      expect((await read(bench().other, KEY)).length).toBe(0);
      const error = await rejection(bench().other.get(KEY, { signal: patient(), range: { start: 0 } }));
      expect(codeOf(error)).toBe('range_not_satisfiable');
    });

    it('rejects before any byte flows where there is no object', async () => {
      for (const key of [KEY, archiveKey('instance', 'two'), archiveKey('other', 'one')])
        for (const range of [undefined, { start: 3 }]) {
          const error = await rejection(bench().provider.get(key, { signal: patient(), ...(range ? { range } : {}) }));
          expect(error).toBeInstanceOf(ObjectNotFoundError);
          expect(error).toMatchObject({ code: 'archive_missing', status: 404, key });
        }
    });

    it('ends its body with the reason of an abort, also before and after the first byte', async () => {
      await bench().provider.put(KEY, randomBody(40 * MIB), { signal: patient() });
      const reason = new Error('not wanted any more');
      expect(await rejection(bench().other.get(KEY, { signal: AbortSignal.abort(reason) }))).toBe(reason);
      for (const readFirst of [false, true]) {
        const abort = new AbortController();
        const { body } = await bench().other.get(KEY, { signal: abort.signal });
        if (readFirst) await once(body, 'readable');
        const failed = once(body, 'error');
        abort.abort(reason);
        expect((await failed)[0]).toBe(reason);
      }
    });

    it('may be given up at any time, and goes on after a pause', async () => {
      await bench().provider.put(KEY, randomBody(40 * MIB), { signal: patient() });
      for (let time = 0; time < 20; time++) {
        const { body } = await bench().other.get(KEY, { signal: patient() });
        if (time % 2) await once(body, 'readable');
        body.destroy();
        await until('the body to be closed', () => body.closed);
      }
    });

    it('keeps the bytes of one object, whatever takes its place meanwhile', async () => {
      const former = randomBytes(30 * MIB);
      await put(KEY, former);
      const { body } = await bench().other.get(KEY, { signal: patient() });
      const hash = createHash('sha256');
      let whole = true;
      await put(KEY, 'another');
      try {
        for await (const chunk of body as AsyncIterable<Buffer>) hash.update(chunk);
      } catch (error) {
        whole = false;
        expect(codeOf(error)).toBe('storage_failed');
      }
      if (whole) expect(hash.digest('hex')).toBe(createHash('sha256').update(former).digest('hex'));
    });
  });

  describe('stat', () => {
    it('rejects where there is no object, also for a folder of objects', async () => {
      await put(KEY, 'x');
      for (const key of ['instance', archiveKey('instance', 'on'), archiveKey('none', 'one')])
        expect(await rejection(bench().other.stat(key, patient()))).toBeInstanceOf(ObjectNotFoundError);
    });
  });

  describe('delete', () => {
    it('removes one object at once, and is a success where there is none', async () => {
      const beside = archiveKey('instance', 'two');
      await put(KEY, 'x');
      await put(beside, 'y');
      await bench().provider.delete(KEY, patient());
      expect(await rejection(bench().other.stat(KEY, patient()))).toBeInstanceOf(ObjectNotFoundError);
      expect(await keysOf(bench().other)).toEqual([beside]);
      await bench().other.delete(KEY, patient());
      await bench().other.delete(archiveKey('never', 'was'), patient());
      await bench().other.delete(beside, patient());
      expect(await keysOf(bench().provider)).toEqual([]);
    });

    it('and put of one instance at the same time do not disturb each other', async () => {
      const { provider, other } = bench();
      const keys = Array.from({ length: 12 }, (_, index) => archiveKey('instance', `n${index}`));
      for (let round = 0; round < 5; round++) {
        const odd = keys.filter((_, index) => index % 2 === round % 2);
        await Promise.all(keys.map((key) => (odd.includes(key) ? put(key, key) : other.delete(key, patient()))));
        expect(await keysOf(provider)).toEqual(odd.toSorted());
      }
    });
  });

  describe('check', () => {
    it('resolves, and leaves nothing', async () => {
      const { freeBytes } = await bench().provider.check(patient());
      if (freeBytes !== undefined) expect(freeBytes).toBeGreaterThan(MIB);
      expect(await keysOf(bench().other)).toEqual([]);
      expect(await bench().leftovers()).toEqual([]);
    });
  });

  describe('sweep', () => {
    it('removes what dead writers have left, not what is newer than told, and no object', async () => {
      const { provider, other } = bench();
      await put(KEY, 'kept');
      const body = silentAfter(20 * MIB);
      let there = 0;
      const onProgress = (bytes: number) => (there = bytes);
      const stored = rejection(other.put(archiveKey('instance', 'two'), body, { signal: patient(), onProgress }));
      await until('most of an object', () => there >= 16 * MIB);
      const left = await bench().leftovers();
      expect(await provider.sweep(new Date(Date.now() - 3_600_000), new Set(), patient())).toBe(0);
      expect(await bench().leftovers()).toEqual(left);
      expect(await provider.sweep(new Date(Date.now() + 3_600_000), new Set(), patient())).toBe(1);
      expect(await bench().leftovers()).toEqual([]);
      body.end();
      // Its writer finds its work gone: an error, never half an object.
      await stored;
      expect(await keysOf(provider)).toEqual([KEY]);
      expect(await provider.sweep(new Date(Date.now() + 3_600_000), new Set(), patient())).toBe(0);
    });
  });
}
