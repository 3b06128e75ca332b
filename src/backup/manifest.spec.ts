import { setImmediate as turn } from 'node:timers/promises';
import { Readable } from 'node:stream';
import { type DumpFacts } from '../postgres/dump-facts.js';
import { type StorageProvider } from '../storage/storage-provider.js';
import { LARGEST_MANIFEST, type Manifest, manifestText, parseManifest, readable } from './manifest.js';
import { ManifestReader } from './manifest-reader.js';

const facts: DumpFacts = {
  snapshot_at: '2030-01-01T00:00:00.000Z',
  lsn: '0/1',
  rows: { 'public.t': 2 },
  tables: 1,
  row_total: 2,
  extensions: [],
  settings: [],
  binding_roles: [],
  named_roles: [],
  database_bytes: 1,
  server_version: '15.18',
  dump_version: '15.18',
  compression: 'gzip',
  encoding: 'UTF8',
  locale: 'C',
};

const manifest = (dump: Partial<DumpFacts>): Manifest => ({
  version: 1,
  instance_id: 'i',
  backup_name: 'b',
  origin: 'backup',
  created_at: facts.snapshot_at,
  archive: {
    ...{ file: 'b.dump', size_bytes: 1, sha256: '0'.repeat(64) },
    ...{ compression: 'gzip', server_version: '15.18', dump_version: '15.18' },
  },
  dump: { ...facts, ...dump },
  requested_by: { realm: 'broker' },
  operation_id: '7f3a5a52-52a1-4ac1-9e1e-4c4a3dd4f3b1',
  node: 'n',
});

const many = Array.from({ length: 250_000 }, (_, i) => `public."${String(i).padStart(126, 'x')}"`);

it('leaves the counts of tables out of a manifest that could not be read again, and their sum in', () => {
  const small = manifest({});
  expect(readable(small)).toBe(small);
  const rows = Object.fromEntries(many.map((name) => [name, 1]));
  const large = manifest({ rows, tables: many.length, row_total: many.length });
  expect(manifestText(large).length).toBeGreaterThan(LARGEST_MANIFEST);
  const text = manifestText(readable(large));
  expect(parseManifest(text).dump).toMatchObject({ rows: {}, tables: many.length, row_total: many.length });
});

it('refuses a backup whose manifest is too large even so', () => {
  expect(() => readable(manifest({ named_roles: many }))).toThrow(/settings, or rights for too many roles/);
});

it('reads large manifests one at a time', async () => {
  const text = Buffer.from(manifestText(manifest({})).padEnd(2 * 1024 * 1024));
  let [reading, most] = [0, 0];
  const storage = {
    get: () => {
      const body = Readable.from(pieces(), { objectMode: false });
      return Promise.resolve({ body, size: text.length });
    },
  } as unknown as StorageProvider;
  async function* pieces() {
    most = Math.max(most, ++reading);
    for (let i = 0; i < 5; i++) await turn();
    yield text;
    reading -= 1;
  }
  const reader = new ManifestReader();
  const { signal } = new AbortController();
  const read = await Promise.all(Array.from({ length: 8 }, () => reader.at(storage, 'i/b.json', signal)));
  expect(read).toHaveLength(8);
  expect(most).toBe(1);
});
