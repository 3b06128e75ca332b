import { constants, createReadStream, type BigIntStats } from 'node:fs';
import { lstat, open, readdir, rmdir, stat, statfs, unlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { type Readable } from 'node:stream';
import { makeFolder } from '../config/make-folder.js';
import { asError } from './as-error.js';
import { BodyReader } from './body-reader.js';
import { localError, messageOf } from './local-error.js';
import { createPartial, isErrno, PARTIAL, place, readPieces, syncFolder, writeAll, writeBody } from './local-files.js';
import { listFiles } from './local-list.js';
import { assertKey, assertKeyPrefix } from './object-key.js';
import { rangeError, storageError } from './storage-error.js';
import {
  ObjectNotFoundError,
  type ByteRange,
  type PutOptions,
  type StorageProvider,
  type StoredBody,
  type StoredObject,
} from './storage-provider.js';
import { storedStream } from './stored-stream.js';

/** Files below one folder, 0600 in folders of 0700; an object's path below it is its key. */
export class LocalStorage implements StorageProvider {
  readonly type = 'local';

  constructor(
    readonly name: string,
    private readonly root: string,
    private readonly shared = false,
  ) {}

  get ofOneNode(): boolean {
    return !this.shared;
  }

  /** Where an object lies, for readers on this machine; it may not be there. */
  file(key: string): string {
    assertKey(key);
    return resolve(this.root, key);
  }

  /** Makes the folder where it is not there. One that is missing later is an error: its file system is not mounted. */
  async prepare(): Promise<void> {
    await this.guard(() => makeFolder(this.root));
  }

  async put(key: string, body: Readable, options: PutOptions): Promise<{ size: number }> {
    const reader = new BodyReader(body, options.signal);
    try {
      assertKey(key);
      options.signal.throwIfAborted();
      await this.requireRoom(options.sizeHint ?? 0);
      return { size: await this.write(key, reader, options) };
    } finally {
      reader.close();
    }
  }

  discard(_token: string, key: string, signal: AbortSignal): Promise<void> {
    return Promise.resolve().then(() => {
      assertKey(key);
      signal.throwIfAborted();
    });
  }

  async putFile(key: string, file: string, options: PutOptions): Promise<{ size: number; moved: boolean }> {
    assertKey(key);
    options.signal.throwIfAborted();
    const root = await this.guard(() => stat(this.root));
    const { dev, size } = await lstat(file).catch((error: unknown) => this.rejectSource(error));
    if (root.dev === dev && (await this.takeOver(key, file, options.signal))) {
      options.onProgress?.(size);
      return { size, moved: true };
    }
    const { size: copied } = await this.put(key, createReadStream(file), { ...options, sizeHint: size });
    return { size: copied, moved: false };
  }

  async get(key: string, { range, signal }: { range?: ByteRange; signal: AbortSignal }): Promise<StoredBody> {
    assertKey(key);
    signal.throwIfAborted();
    const { handle, stats, size } = await this.guard(() => this.open(key), key);
    const { start, end = size - 1 } = range ?? { start: 0 };
    if (range && !(start < size && start <= end)) {
      await handle.close();
      throw rangeError(size);
    }
    const pieces = this.guarded(readPieces(handle, start, Math.min(end, size - 1)));
    const body = storedStream(pieces, signal, () => void handle.close().catch(() => {}));
    return { body, size, etag: etagOf(stats), modifiedAt: stats.mtime };
  }

  async stat(key: string, signal: AbortSignal): Promise<StoredObject & { etag: string }> {
    assertKey(key);
    signal.throwIfAborted();
    const stats = await this.guard(() => lstat(join(this.root, key), { bigint: true }), key);
    if (!stats.isFile()) throw new ObjectNotFoundError(this.name, key);
    return { key, size: Number(stats.size), etag: etagOf(stats), modifiedAt: stats.mtime };
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<StoredObject> {
    assertKeyPrefix(prefix);
    await this.guard(() => stat(this.root));
    for await (const object of this.guarded(listFiles(this.root, prefix))) {
      signal.throwIfAborted();
      yield object;
    }
  }

  async delete(key: string, signal: AbortSignal): Promise<void> {
    assertKey(key);
    signal.throwIfAborted();
    const file = join(this.root, key);
    const folder = dirname(file);
    try {
      await this.guard(() => unlink(file), key);
    } catch (error) {
      if (error instanceof ObjectNotFoundError) return;
      throw error;
    }
    await this.guard(() => syncFolder(folder).catch(unless('ENOENT')));
    if (folder !== this.root) await rmdir(folder).catch(() => {});
  }

  async check(signal: AbortSignal): Promise<{ freeBytes?: number }> {
    signal.throwIfAborted();
    return this.guard(async () => {
      const { file, handle } = await createPartial(this.root);
      try {
        await handle.write('x');
        await handle.sync();
      } finally {
        await handle.close();
        await unlink(file);
      }
      return { freeBytes: await this.freeBytes() };
    });
  }

  async sweep(before: Date, _keep: ReadonlySet<string>, signal: AbortSignal): Promise<number> {
    signal.throwIfAborted();
    const folder = join(this.root, PARTIAL);
    await this.guard(() => stat(this.root));
    let removed = 0;
    for (const name of (await this.guard(() => readdir(folder).catch(unless('ENOENT')))) ?? []) {
      signal.throwIfAborted();
      if (await this.guard(() => removeOlder(join(folder, name), before))) removed += 1;
    }
    return removed;
  }

  close(): void {}

  private async write(key: string, reader: BodyReader, { signal, onProgress }: PutOptions): Promise<number> {
    const { file, handle } = await this.guard(() => createPartial(this.root));
    try {
      const write = (bytes: Buffer, position: number) => this.guard(() => writeAll(handle, bytes, position));
      const size = await writeBody(write, reader, onProgress);
      await this.guard(() => handle.sync());
      signal.throwIfAborted();
      await this.guard(() => place(this.root, file, key));
      return size;
    } catch (error) {
      await unlink(file).catch(() => {});
      throw error;
    } finally {
      await handle.close().catch(() => {});
    }
  }

  /** False where the file lies on another file system. */
  private async takeOver(key: string, file: string, signal: AbortSignal): Promise<boolean> {
    const source = open(file, constants.O_RDWR | constants.O_NOFOLLOW);
    const handle = await source.catch((error: unknown) => this.rejectSource(error));
    try {
      await this.guard(async () => {
        // A mode that is set anew would have to be written out again.
        if (((await handle.stat()).mode & 0o777) !== 0o600) await handle.chmod(0o600);
        await handle.sync();
      });
    } finally {
      await handle.close();
    }
    signal.throwIfAborted();
    return this.guard(async () => {
      const moved = await place(this.root, file, key).then(() => true, unless('EXDEV'));
      return moved === true;
    });
  }

  private async open(key: string) {
    const handle = await open(join(this.root, key), constants.O_RDONLY | constants.O_NOFOLLOW);
    const stats = await handle.stat({ bigint: true });
    if (stats.isFile()) return { handle, stats, size: Number(stats.size) };
    await handle.close();
    throw new ObjectNotFoundError(this.name, key);
  }

  private async requireRoom(bytes: number): Promise<void> {
    const free = await this.guard(() => this.freeBytes());
    if (bytes > free) throw storageError('storage_full', this.name, `${bytes} bytes are needed, ${free} are free`);
  }

  private async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.root);
    return bavail * bsize;
  }

  private async *guarded<T>(items: AsyncIterable<T>): AsyncGenerator<T> {
    try {
      yield* items;
    } catch (error) {
      throw await this.explain(error);
    }
  }

  private async guard<T>(action: () => Promise<T>, key?: string): Promise<T> {
    try {
      return await action();
    } catch (error) {
      throw await this.explain(error, key);
    }
  }

  /** That the file to be stored is not there is no fault of this storage. */
  private rejectSource(error: unknown): never {
    throw isErrno(error, 'ENOENT') ? error : localError(this.name, error);
  }

  /** What is not found is the object, or else the whole folder. */
  private async explain(error: unknown, key?: string): Promise<Error> {
    if (!isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return localError(this.name, error);
    const fault = await stat(this.root).then((root) => (root.isDirectory() ? undefined : error), asError);
    if (isErrno(fault, 'ENOENT', 'ENOTDIR')) return storageError('storage_missing', this.name, messageOf(fault), error);
    if (fault !== undefined) return localError(this.name, fault);
    return key === undefined ? localError(this.name, error) : new ObjectNotFoundError(this.name, key);
  }
}

function etagOf({ ino, size, mtimeNs }: BigIntStats): string {
  return [ino, size, mtimeNs].map((part) => part.toString(36)).join('-');
}

async function removeOlder(file: string, before: Date): Promise<boolean> {
  const stats = await lstat(file).catch(unless('ENOENT'));
  if (!stats || stats.mtime >= before) return false;
  await unlink(file).catch(unless('ENOENT'));
  return true;
}

function unless(...codes: string[]): (error: unknown) => undefined {
  return (error) => {
    if (!isErrno(error, ...codes)) throw error;
    return undefined;
  };
}
