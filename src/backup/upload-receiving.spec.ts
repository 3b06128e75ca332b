import { mkdtemp, readdir, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { type BrokerConfig } from '../config/schema.js';
import { BrokerError } from '../errors.js';
import { type InstanceStore } from '../instances/instance-store.js';
import { type OperationContext } from '../operations/operation-handler.js';
import { type Archives } from '../postgres/archives.js';
import { type Receptions } from './reception.js';
import { Spool } from './spool.js';
import { UploadReceiving } from './upload-receiving.js';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'receiving-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

function receive(path: string, arriving: () => { sink: Writable }): Promise<unknown> {
  const reception = { arrival: {}, take: () => Promise.reject(new Error('no body')), end: () => undefined };
  const receiving = new UploadReceiving(
    { get: () => Promise.resolve({ limits: {} }) } as unknown as InstanceStore,
    { take: () => reception } as unknown as Receptions,
    { arriving } as unknown as Archives,
    new Spool({ spool: { path } } as unknown as BrokerConfig),
  );
  const context = {
    operation: { id: 'o', instanceId: 'i', input: {} },
    signal: new AbortController().signal,
    phase: () => Promise.resolve(),
    remember: () => Promise.resolve(),
  };
  return receiving.receive(context as unknown as OperationContext);
}

/** Files of the folder that this process has open. */
async function openFiles(): Promise<string[]> {
  const descriptors = await readdir('/proc/self/fd');
  const files = await Promise.all(descriptors.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')));
  return files.filter((file) => file.startsWith(folder));
}

it('keeps no file open where there is no pg_restore to check it', async () => {
  const missing = () => {
    throw new BrokerError('restore_failed', 'pg_restore is not installed');
  };
  await expect(receive(folder, missing)).rejects.toMatchObject({ code: 'restore_failed' });
  expect(await openFiles()).toEqual([]);
});

it('ends the check where the spool cannot be written', async () => {
  const file = join(folder, 'file');
  await writeFile(file, '');
  const sink = new Writable();
  await expect(receive(join(file, 'spool'), () => ({ sink }))).rejects.toThrow();
  expect(sink.destroyed).toBe(true);
});
