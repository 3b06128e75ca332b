import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { gzipSync } from 'node:zlib';
import { run } from '../../../embedded/run.mjs';
import { type BrokerError } from '../../../src/errors.js';
import { type Cluster, startCluster } from '../../support/cluster.js';
import { sql } from '../../support/sql.js';
import { testRun } from '../../support/test-run.js';
import { never, tenant } from './estate.js';
import { fakeTools, fileIn, programs, type Recovery, recoveryOn, take } from './recovery.js';

describe('archive', () => {
  let cluster: Cluster;
  let recovery: Recovery;
  let good: Buffer;
  let goodFile: string;
  beforeAll(async () => {
    cluster = await startCluster();
    recovery = await recoveryOn(cluster);
    const { names, bindings } = await tenant(recovery, cluster, ['read-write']);
    await sql(
      bindings[0]?.url ?? '',
      `CREATE TABLE t AS SELECT g, md5(g::text) AS text FROM generate_series(1, 3000) g; CREATE INDEX ON t (g);
       CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE VIEW v AS SELECT g FROM t`,
    );
    goodFile = (await take(recovery, names)).file;
    good = await readFile(goodFile);
  });
  afterAll(async () => {
    expect(await programs(recovery, cluster)).toEqual([]);
    await recovery.close();
    await cluster.remove();
  });

  const inspect = (file: string, maxBytes?: number) =>
    recovery.archives.inspect(file, { own: true, allowedExtensions: [], maxBytes }, never);
  const arrive = async (bytes: Buffer, pieces = 1000, maxBytes?: number) => {
    const chunks = Array.from({ length: Math.ceil(bytes.length / pieces) }, (_, index) =>
      bytes.subarray(index * pieces, (index + 1) * pieces),
    );
    const arriving = recovery.archives.arriving({ maxBytes }, never);
    await pipeline(Readable.from(chunks), arriving.sink);
    return arriving.uncompressedBytes();
  };
  const both = async (bytes: Buffer): Promise<[BrokerError, BrokerError]> => {
    const file = fileIn(recovery);
    await writeFile(file, bytes);
    const refusal = (work: Promise<unknown>) =>
      work.then(
        () => undefined,
        (error: unknown) => error,
      ) as Promise<BrokerError>;
    return [await refusal(inspect(file)), await refusal(arrive(bytes))];
  };

  it('is measured exactly, from a file and while it arrives', async () => {
    const text = await run(`${testRun().postgres.bin}/pg_restore`, ['-f', '-', goodFile]);
    const inspected = await inspect(goodFile);
    expect(inspected).toMatchObject({ uncompressedBytes: Buffer.byteLength(text), leftOut: [] });
    expect(inspected.dumpVersion).toContain(testRun().postgres.version);
    for (const pieces of [7, 511, 100_000]) expect(await arrive(good, pieces)).toBe(inspected.uncompressedBytes);
  });

  it.each<[string, () => Buffer, string, RegExp]>([
    ['of no bytes', () => Buffer.alloc(0), 'archive_invalid', /empty/],
    ['of three bytes', () => good.subarray(0, 3), 'archive_invalid', /./],
    ['of five bytes', () => good.subarray(0, 5), 'archive_invalid', /ends within/],
    ['of random bytes', () => randomBytes(5000), 'archive_invalid', /not an archive|expected the custom format/],
    ['compressed once more', () => gzipSync(good), 'archive_invalid', /gzip/],
    ['of another format', () => changed(good, 10, 3), 'archive_invalid', /directory or tar/],
    ['of a newer version', () => changed(good, 6, 99), 'archive_too_new', /unsupported version/],
    [
      'in plain SQL',
      () => Buffer.from('--\n-- PostgreSQL database dump\n--\n\\! rm -rf x\n'),
      'archive_invalid',
      /plain SQL/,
    ],
  ])('%s is refused', async (_what, bytes, code, says) => {
    for (const refusal of await both(bytes()))
      expect(refusal).toMatchObject({ code, message: expect.stringMatching(says) as string });
  });

  it('cut off anywhere is refused', async () => {
    for (let part = 1; part <= 10; part += 1)
      for (const refusal of await both(good.subarray(0, Math.floor((good.length * part) / 11))))
        expect(refusal?.code).toMatch(/^archive_(invalid|damaged)$/);
  });

  it('with any one bit flipped is refused, or reads as one archive still', async () => {
    let refused = 0;
    for (let flip = 0; flip < 200; flip += 1) {
      const at = Math.floor((flip * good.length) / 200);
      const file = fileIn(recovery);
      await writeFile(file, changed(good, at, (good[at] ?? 0) ^ (1 << (flip % 8))));
      try {
        const { entries } = await inspect(file, 10_000_000);
        expect(entries).toBeGreaterThan(0);
      } catch (error) {
        refused += 1;
        expect((error as BrokerError).code).toMatch(/^archive_(invalid|damaged|too_new|rejected)$/);
      }
    }
    expect(refused).toBeGreaterThan(100);
  });

  it('that kills pg_restore is refused', async () => {
    const binDir = await fakeTools(recovery.folder, {
      pg_restore: 'case "$*" in *--version*) exec "$real" "$@";; esac; kill -SEGV $$',
    });
    const crashing = await recoveryOn(cluster, { binDir });
    const refusal = crashing.archives.inspect(goodFile, { own: false, allowedExtensions: [] }, never);
    await expect(refusal).rejects.toMatchObject({
      code: 'archive_invalid',
      message: expect.stringContaining('SIGSEGV') as string,
    });
    await crashing.close();
  });

  it('larger than allowed is refused while it arrives', async () => {
    await expect(inspect(goodFile, 10_000)).rejects.toMatchObject({ code: 'archive_rejected' });
    await expect(arrive(good, 1000, 10_000)).rejects.toMatchObject({ code: 'archive_rejected' });
  });

  it('given up while it arrives leaves no program', async () => {
    const { sink } = recovery.archives.arriving({}, never);
    await new Promise((resolve) => sink.write(good.subarray(0, 5000), resolve));
    sink.destroy();
    await once(sink, 'close');
    const cancel = new AbortController();
    const cancelled = recovery.archives.arriving({}, cancel.signal);
    await new Promise((resolve) => cancelled.sink.write(good.subarray(0, 5000), resolve));
    cancel.abort(new Error('cancelled'));
    await expect(pipeline(Readable.from([good.subarray(5000)]), cancelled.sink)).rejects.toThrow('cancelled');
    expect(await programs(recovery, cluster)).toEqual([]);
  });
});

function changed(bytes: Buffer, at: number, value: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = value;
  return copy;
}
