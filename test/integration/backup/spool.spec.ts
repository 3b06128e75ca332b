import { statfs } from 'node:fs/promises';
import { Spool } from '../../../src/backup/spool.js';
import { type SpoolFile } from '../../../src/backup/spool-file.js';
import { type BrokerConfig } from '../../../src/config/schema.js';
import { mountSmallDisk, type SmallDisk } from '../../support/small-disk.js';

const MIB = 1024 * 1024;
const FULL: unknown = expect.objectContaining({ code: 'spool_full' });

let disk: SmallDisk;

beforeAll(async () => {
  disk = await mountSmallDisk(40 * MIB);
});

afterAll(async () => {
  await disk.unmount();
});

function spoolOf(max_bytes?: number): Spool {
  return new Spool({ spool: { path: `${disk.dir}/spool`, max_bytes } } as unknown as BrokerConfig);
}

/** Writes until it is refused. */
async function fill(file: SpoolFile): Promise<void> {
  for (;;) await file.write(Buffer.alloc(MIB));
}

it('leaves room on its disk for others however much comes', async () => {
  const spool = spoolOf();
  const file = await spool.create('one');
  await expect(fill(file)).rejects.toEqual(FULL);
  expect(file.size).toBeGreaterThan(8 * MIB);
  const { bavail, bsize } = await statfs(disk.dir);
  expect(bavail * bsize).toBeGreaterThan(4 * MIB);
  await file.abandon(new Error('full'));
  await spool.remove('one');
});

it('has one limit for all files together', async () => {
  const spool = spoolOf(18 * MIB);
  const files = await Promise.all(['one', 'two'].map((name) => spool.create(name)));
  await Promise.all(files.map((file) => expect(fill(file)).rejects.toEqual(FULL)));
  expect(files.reduce((sum, { size }) => sum + size, 0)).toBeLessThan(35 * MIB);
  for (const file of files) await file.abandon(new Error('full'));
  await spool.sweep(new Set());
});
