import { createHash, randomBytes } from 'node:crypto';
import { PassThrough, Readable } from 'node:stream';
import { inspect } from 'node:util';
import { BrokerError, type ErrorCode } from '../../src/errors.js';
import { type StorageProvider } from '../../src/storage/storage-provider.js';

export const MIB = 1024 * 1024;

/** One provider under the contract suite, and what lies behind it. */
export interface StorageBench {
  readonly provider: StorageProvider;
  /** The same storage as another process would see it. */
  readonly other: StorageProvider;
  /** Makes small objects without the code under test. */
  seed(keys: readonly string[]): Promise<void>;
  /** Makes what is no object of ours. */
  litter(): Promise<void>;
  /** Everything in the storage that is neither object nor folder: half-written files, parts, uploads. */
  leftovers(): Promise<string[]>;
  close(): Promise<void>;
}

/** A way in which a storage cannot be used. */
export interface StorageFault {
  what: string;
  code: ErrorCode;
  /** Of the storage's own message. */
  says: RegExp;
  /** Which calls meet it; the others are not asked. */
  calls: readonly StorageCall[];
  arrange(): Promise<{ provider: StorageProvider; secrets: string[]; repair(): Promise<void> }>;
}

export const CALLS = {
  'put of a few bytes': (storage, key, signal) => storage.put(key, Readable.from(['a few bytes']), { signal }),
  'put of many bytes': (storage, key, signal) => storage.put(key, randomBody(9 * MIB), { signal }),
  get: async (storage, key, signal) => {
    const { body } = await storage.get(key, { signal });
    await digest(body);
  },
  stat: (storage, key, signal) => storage.stat(key, signal),
  list: (storage, _key, signal) => keysOf(storage, '', signal),
  delete: (storage, key, signal) => storage.delete(key, signal),
  check: (storage, _key, signal) => storage.check(signal),
  sweep: (storage, _key, signal) => storage.sweep(new Date(), new Set(), signal),
} as const satisfies Record<string, (storage: StorageProvider, key: string, signal: AbortSignal) => Promise<unknown>>;

export type StorageCall = keyof typeof CALLS;
export const EVERY_CALL = Object.keys(CALLS) as StorageCall[];
export const WRITING_CALLS: StorageCall[] = ['put of a few bytes', 'put of many bytes', 'check'];

/** Never aborts. */
export function patient(): AbortSignal {
  return new AbortController().signal;
}

export async function keysOf(storage: StorageProvider, prefix = '', signal = patient()): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of storage.list(prefix, signal)) keys.push(key);
  return keys;
}

export async function read(storage: StorageProvider, key: string, range?: { start: number; end?: number }) {
  const { body } = await storage.get(key, { signal: patient(), ...(range ? { range } : {}) });
  const chunks: Buffer[] = [];
  for await (const chunk of body as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export async function digest(body: Readable): Promise<{ size: number; sha256: string }> {
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    hash.update(chunk);
    size += chunk.length;
  }
  return { size, sha256: hash.digest('hex') };
}

/** A body of so many bytes of which no two MiB are the same. */
export function randomBody(size: number, seed = randomBytes(16)): Readable {
  return Readable.from(pieces(size, seed), { objectMode: false });
}

/** Bytes that come at once; then the stream stays silent, and open. */
export function silentAfter(size: number): PassThrough {
  const body = new PassThrough({ highWaterMark: size + 1 });
  body.write(randomBytes(size));
  return body;
}

/** Fails with the error once so many bytes have come. */
export function failingAfter(size: number, error: Error): Readable {
  return Readable.from(failing(size, error), { objectMode: false });
}

export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => {
      throw new Error('expected a rejection');
    },
    (error: unknown) => error,
  );
}

/** What a `BrokerError` would show and log, for a look at secrets. */
export function everythingIn(error: unknown): string {
  return inspect(error, { depth: 10, showHidden: true });
}

export function codeOf(error: unknown): string {
  return error instanceof BrokerError ? error.code : String(error);
}

function* pieces(size: number, seed: Buffer): Generator<Buffer> {
  const block = randomBytes(MIB);
  seed.copy(block);
  for (let left = size, number = 0; left > 0; left -= MIB, number++) {
    const piece = Buffer.from(block.subarray(0, Math.min(left, MIB)));
    if (piece.length >= 20) piece.writeUInt32LE(number, 16);
    yield piece;
  }
}

function* failing(size: number, error: Error): Generator<Buffer> {
  yield* pieces(size, randomBytes(16));
  throw error;
}
