import { type OperationsService } from '../operations/operations.service.js';
import { type StorageProvider } from '../storage/storage-provider.js';
import { type StorageRegistry } from '../storage/storage-registry.js';
import { LeftUploads } from './left-uploads.js';
import { type Spool } from './spool.js';

const MINUTE = 60_000;
const STARTED = Date.parse('2030-01-01T00:00:00Z');

interface Unended {
  id: string;
  createdAt: Date;
  memo: { token?: string; spool?: string };
}

const realNow = Date.now;
let now: number;
let unended: Unended[];
let sweeps: { before: number; keep: string[] }[];
let kept: string[][];

function uploads(): LeftUploads {
  const sweep = (before: Date, keep: ReadonlySet<string>) => {
    sweeps.push({ before: before.getTime(), keep: [...keep] });
    return Promise.resolve(0);
  };
  const storage = { name: 's3', sweep } as unknown as StorageProvider;
  const storages = { all: () => [storage], prepare: () => Promise.resolve() } as unknown as StorageRegistry;
  const spool = { sweep: (keep: Set<string>) => Promise.resolve(kept.push([...keep])) } as unknown as Spool;
  const operations = { unended: () => Promise.resolve(unended) } as unknown as OperationsService;
  return new LeftUploads(operations, storages, spool);
}

const never = new AbortController().signal;

beforeEach(() => {
  [now, unended, sweeps, kept] = [STARTED, [], [], []];
  Date.now = () => now;
});

afterEach(() => {
  Date.now = realNow;
});

async function at(minutes: number, left: LeftUploads): Promise<void> {
  now = STARTED + minutes * MINUTE;
  await left.sweep(never);
}

it('sweeps at start and daily', async () => {
  const left = uploads();
  await left.prepare(never);
  await at(0, left);
  await at(1, left);
  await at(24 * 60 - 1, left);
  expect(sweeps).toHaveLength(1);
  expect(sweeps[0]?.before).toBeLessThan(STARTED);
  await at(24 * 60, left);
  expect(sweeps).toHaveLength(2);
  expect(sweeps[1]).toEqual({ before: STARTED, keep: [] });
});

it('leaves what running operations have, and what is younger than they are', async () => {
  const createdAt = new Date(STARTED - 10 * MINUTE);
  unended = [{ id: 'a', createdAt, memo: { token: 't', spool: 'f' } }];
  const left = uploads();
  await left.prepare(never);
  await at(0, left);
  expect(kept).toEqual([['f']]);
  expect(sweeps).toEqual([{ before: createdAt.getTime(), keep: ['t'] }]);
});

it('sweeps again once the work that was found at start has ended: it may have left what nobody wrote down', async () => {
  unended = [{ id: 'a', createdAt: new Date(STARTED - MINUTE), memo: {} }];
  const left = uploads();
  await left.prepare(never);
  await at(0, left);
  await at(5, left);
  expect(sweeps).toHaveLength(1);
  unended = [];
  await at(6, left);
  await at(7, left);
  expect(sweeps).toHaveLength(2);
  expect(sweeps[1]).toEqual({ before: STARTED, keep: [] });
});
