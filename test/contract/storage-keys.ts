import { Readable } from 'node:stream';
import { archiveKey, manifestKey, parseKey } from '../../src/storage/object-key.js';
import { codeOf, keysOf, patient, read, rejection, silentAfter, type StorageBench } from '../support/storage-bench.js';

const ODD_IDS = [
  '.',
  '..',
  '../..',
  '/',
  '/etc/passwd',
  'a/../b',
  'a/b',
  'a',
  'A',
  'a ',
  ' a',
  'a%2fb',
  'a_b',
  'a_5fb',
  '_h',
  '~',
  '-rf',
  '*',
  '\\',
  'C:\\x',
  'con',
  'nul',
  'a\nb',
  'a\u0001b',
  'ä',
  'a\u0308',
  '日本',
  '😀',
  '\u202e',
  'x'.repeat(255),
  'X'.repeat(255),
  '😀'.repeat(127),
  `${'x'.repeat(254)}y`,
  '9f1c7e1a-5c1e-4a57-8f4c-0d6d8a1f2b3c',
];

const BAD_KEYS = [
  '',
  '.',
  '..',
  '/',
  '../x.dump',
  'a/../x.dump',
  '/a/x.dump',
  'a//x.dump',
  'a/x.dump/',
  'a/.x',
  '.partial/x',
  'a\\x.dump',
  'a/x\n.dump',
  'a/x\0.dump',
  'a/ä.dump',
  'a/x y.dump',
  `a/${'x'.repeat(201)}`,
  'a/'.repeat(300) + 'x',
];

export function describeKeys(bench: () => StorageBench): void {
  describe('keys', () => {
    it('of odd instance ids keep their objects apart, and tell whose they are', async () => {
      const { provider, other } = bench();
      for (const id of ODD_IDS) {
        await provider.put(archiveKey(id, 'one'), Readable.from([`archive of ${id}`]), { signal: patient() });
        await provider.put(manifestKey(id, 'one'), Readable.from([`manifest of ${id}`]), { signal: patient() });
      }
      const keys = await keysOf(other);
      expect(keys).toHaveLength(2 * ODD_IDS.length);
      expect(new Set(keys.map((key) => key.toLowerCase())).size).toBe(keys.length);
      for (const id of ODD_IDS) {
        const [archive, manifest] = [archiveKey(id, 'one'), manifestKey(id, 'one')];
        expect((await read(other, archive)).toString()).toBe(`archive of ${id}`);
        expect((await read(other, manifest)).toString()).toBe(`manifest of ${id}`);
        expect(parseKey(archive)?.instanceId ?? id).toBe(id);
        await provider.delete(archive, patient());
        await provider.delete(manifest, patient());
      }
      expect(await keysOf(other)).toEqual([]);
    });

    it.each(BAD_KEYS.map((key) => [key.slice(0, 20), key]))(
      '%j is refused by every call, before anything is touched',
      async (_shown, key) => {
        const { provider } = bench();
        const signal = patient();
        const body = silentAfter(1);
        const calls = [
          () => provider.put(key, body, { signal }),
          () => provider.putFile(key, '/nowhere', { signal }),
          () => provider.get(key, { signal }),
          () => provider.stat(key, signal),
          () => provider.delete(key, signal),
          () => provider.discard('token', key, signal),
        ];
        for (const call of calls) expect(codeOf(await rejection(call()))).toBe('invalid_request');
        expect(body.destroyed).toBe(true);
      },
    );
  });

  describe('list', () => {
    it('gives the objects that start with a text, sorted, with their sizes', async () => {
      const { provider, other } = bench();
      const keys = ['a/1.dump', 'a/1.json', 'a/2.dump', 'a-b/1.dump', 'ab/1.dump', 'b/1.dump'];
      for (const key of keys) await provider.put(key, Readable.from([key]), { signal: patient() });
      expect(await keysOf(other)).toEqual(keys.toSorted());
      expect(await keysOf(other, 'a/')).toEqual(['a/1.dump', 'a/1.json', 'a/2.dump']);
      expect(await keysOf(other, 'a')).toEqual(['a-b/1.dump', 'a/1.dump', 'a/1.json', 'a/2.dump', 'ab/1.dump']);
      expect(await keysOf(other, 'a/1')).toEqual(['a/1.dump', 'a/1.json']);
      expect(await keysOf(other, 'a/1.dump')).toEqual(['a/1.dump']);
      expect(await keysOf(other, 'a/1.dump/')).toEqual([]);
      expect(await keysOf(other, 'c/')).toEqual([]);
      for await (const object of other.list('a-b/', patient())) {
        expect(object).toMatchObject({ key: 'a-b/1.dump', size: 10 });
        expect(Date.now() - object.modifiedAt.getTime()).toBeLessThan(3_600_000);
      }
    });

    it('gives 10,000 objects, and may be left in the middle', async () => {
      const keys = Array.from({ length: 10_000 }, (_, index) => archiveKey(`i${index % 10}`, `n${index}`));
      await bench().seed(keys);
      expect(await keysOf(bench().provider)).toEqual(keys.toSorted());
      expect(await keysOf(bench().provider, 'i3/')).toHaveLength(1000);
      let seen = 0;
      for await (const object of bench().provider.list('', patient())) if (object && ++seen === 1500) break;
      expect(seen).toBe(1500);
    });

    it('leaves out what is not ours', async () => {
      await bench().provider.put('a/1.dump', Readable.from(['x']), { signal: patient() });
      await bench().litter();
      expect(await keysOf(bench().other)).toEqual(['a/1.dump']);
    });

    it.each(['/', '..', '../', 'a//', 'a/../', '.partial/', 'ä'])('refuses %j', async (prefix) => {
      const error = await rejection(keysOf(bench().provider, prefix));
      expect(codeOf(error)).toBe('invalid_request');
    });

    it('ends at an abort', async () => {
      await bench().seed(Array.from({ length: 2000 }, (_, index) => archiveKey('i', `n${index}`)));
      const abort = new AbortController();
      const reason = new Error('not wanted any more');
      const list = async () => {
        for await (const { key } of bench().provider.list('', abort.signal)) if (key) abort.abort(reason);
      };
      expect(await rejection(list())).toBe(reason);
    });
  });
}
