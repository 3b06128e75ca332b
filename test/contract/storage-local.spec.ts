import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { archiveKey } from '../../src/storage/object-key.js';
import { LocalStorage } from '../../src/storage/local-storage.js';
import { mountSmallDisk } from '../support/small-disk.js';
import {
  codeOf,
  EVERY_CALL,
  keysOf,
  MIB,
  patient,
  randomBody,
  read,
  rejection,
  WRITING_CALLS,
  type StorageBench,
  type StorageFault,
} from '../support/storage-bench.js';
import { describeStorage } from './storage-contract.js';

const KEY = archiveKey('instance', 'one');

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name));
}

function open(root: string): StorageBench {
  const place = (key: string, text: string) => {
    mkdirSync(dirname(join(root, key)), { recursive: true });
    writeFileSync(join(root, key), text);
  };
  return {
    provider: new LocalStorage('local', root),
    other: new LocalStorage('local', root),
    seed: (keys) => Promise.resolve(keys.forEach((key) => place(key, 'x'))),
    litter: () => {
      for (const key of ['.hidden', 'a/.hidden', 'a/name with spaces', '.partial/x', 'lost+found/.x/y'])
        place(key, 'x');
      symlinkSync('/etc', join(root, 'etc'));
      symlinkSync('/etc/passwd', join(root, 'a', 'passwd'));
      return Promise.resolve();
    },
    leftovers: () =>
      Promise.resolve(filesIn(root).filter((file) => !/^[^.]+\/[^/]+\.(dump|json)$/.test(file.slice(root.length + 1)))),
    close: () => Promise.resolve(rmSync(root, { recursive: true, force: true })),
  };
}

const roots: string[] = [];
function newRoot(): string {
  const root = mkdtempSync(join(tmpdir(), 'broker-storage-'));
  roots.push(root);
  return root;
}

afterAll(() => {
  for (const root of roots) rmSync(root, { recursive: true, force: true });
});

const onDisk = async (bytes: number, options = '') => {
  const disk = await mountSmallDisk(bytes, options);
  return { provider: new LocalStorage('local', disk.dir), secrets: [], repair: () => disk.unmount() };
};

const FAULTS: StorageFault[] = [
  {
    what: 'folder that is not there',
    code: 'storage_missing',
    says: /no such file or directory/,
    calls: EVERY_CALL,
    arrange: () =>
      Promise.resolve({
        provider: new LocalStorage('local', join(newRoot(), 'none')),
        secrets: [],
        repair: () => Promise.resolve(),
      }),
  },
  {
    what: 'file in place of the folder',
    code: 'storage_missing',
    says: /not a directory/,
    calls: EVERY_CALL,
    arrange: () => {
      const file = join(newRoot(), 'file');
      writeFileSync(file, '');
      return Promise.resolve({
        provider: new LocalStorage('local', file),
        secrets: [],
        repair: () => Promise.resolve(),
      });
    },
  },
  {
    what: 'read-only file system',
    code: 'storage_denied',
    says: /read-only file system/,
    calls: WRITING_CALLS,
    arrange: () => onDisk(MIB, ',ro'),
  },
  {
    what: 'file system without room',
    code: 'storage_full',
    says: /no space left on device/,
    calls: ['put of many bytes'],
    arrange: () => onDisk(2 * MIB),
  },
];

describe('local', () => {
  describeStorage(() => Promise.resolve(open(newRoot())), FAULTS);

  describe('files', () => {
    let root: string;
    let storage: LocalStorage;
    beforeEach(() => {
      root = newRoot();
      storage = new LocalStorage('local', root);
    });
    afterEach(() => rmSync(root, { recursive: true, force: true }));

    it('are their owner’s alone, and so are the folders', async () => {
      const made = join(root, 'made', 'here');
      const inside = new LocalStorage('local', made);
      await inside.prepare();
      await inside.put(KEY, Readable.from(['x']), { signal: patient() });
      const file = join(root, 'archive');
      writeFileSync(file, 'x', { mode: 0o644 });
      const moved = archiveKey('instance', 'two');
      expect(await inside.putFile(moved, file, { signal: patient() })).toEqual({ size: 1, moved: true });
      const mode = (path: string) => (statSync(path).mode & 0o777).toString(8);
      for (const folder of [made, join(made, 'instance'), join(made, '.partial')]) expect(mode(folder)).toBe('700');
      for (const key of [KEY, moved]) expect(mode(join(made, key))).toBe('600');
    });

    it('leave no empty folder behind', async () => {
      await storage.put(KEY, Readable.from(['x']), { signal: patient() });
      await storage.delete(KEY, patient());
      expect(readdirSync(root)).toEqual(['.partial']);
    });

    it('are copied from another file system, and the source stays', async () => {
      const disk = await mountSmallDisk(16 * MIB);
      try {
        const file = join(disk.dir, 'archive');
        writeFileSync(file, Buffer.alloc(5 * MIB, 7));
        expect(await storage.putFile(KEY, file, { signal: patient() })).toEqual({ size: 5 * MIB, moved: false });
        expect((await read(storage, KEY)).equals(Buffer.alloc(5 * MIB, 7))).toBe(true);
        expect(statSync(file).size).toBe(5 * MIB);
      } finally {
        await disk.unmount();
      }
    });
  });

  describe('room', () => {
    let disk: Awaited<ReturnType<typeof mountSmallDisk>>;
    let storage: LocalStorage;
    beforeEach(async () => {
      disk = await mountSmallDisk(4 * MIB);
      storage = new LocalStorage('local', disk.dir);
    });
    afterEach(() => disk.unmount());

    it('is told, and looked at before a byte is read', async () => {
      const { freeBytes } = await storage.check(patient());
      expect(freeBytes).toBeGreaterThan(3 * MIB);
      expect(freeBytes).toBeLessThanOrEqual(4 * MIB);
      const body = randomBody(10);
      const error = await rejection(storage.put(KEY, body, { signal: patient(), sizeHint: 5 * MIB }));
      expect(String(error)).toMatch(/5242880 bytes are needed, \d+ are free/);
      expect(codeOf(error)).toBe('storage_full');
      expect(body.readableDidRead).toBe(false);
    });

    it('that runs out in the middle is free again, and what was there is untouched', async () => {
      await storage.put(KEY, Readable.from(['kept']), { signal: patient() });
      const before = await storage.check(patient());
      const body = randomBody(1000 * MIB);
      expect(codeOf(await rejection(storage.put(KEY, body, { signal: patient() })))).toBe('storage_full');
      expect(body.destroyed).toBe(true);
      expect(await storage.check(patient())).toEqual(before);
      expect((await read(storage, KEY)).toString()).toBe('kept');
      expect(await keysOf(storage)).toEqual([KEY]);
    });

    it('that is used up is found by check', async () => {
      await storage.put(KEY, randomBody(2 * MIB), { signal: patient() });
      for (let size = MIB; size >= 4096; size /= 2)
        for (let index = 0; index < 2; index++)
          await storage
            .put(archiveKey('fill', `${size}-${index}`), randomBody(size), { signal: patient() })
            .catch(() => {});
      const error = await rejection(storage.check(patient()));
      expect(codeOf(error)).toBe('storage_full');
      expect((await read(storage, KEY)).length).toBe(2 * MIB);
      await storage.delete(KEY, patient());
      await storage.check(patient());
    });
  });
});
