import { z } from 'zod';
import { type Requester } from '../auth/requester.js';
import { BrokerError } from '../errors.js';
import { type DumpFacts } from '../postgres/dump-facts.js';
import { type Backup } from './backup.entity.js';

/** Larger ones are neither read nor written: a database of 100,000 tables needs some 10 MB. */
export const LARGEST_MANIFEST = 32 * 1024 * 1024;

const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const version = z.string().max(100);
const compression = z.enum(['gzip', 'zstd', 'lz4', 'none']);

const facts: z.ZodType<DumpFacts> = z.object({
  snapshot_at: z.iso.datetime(),
  lsn: z.string().regex(/^[0-9A-F]{1,8}\/[0-9A-F]{1,8}$/),
  rows: z.record(z.string(), count),
  tables: count,
  row_total: count,
  extensions: z.array(z.object({ name: z.string(), version: z.string() })),
  settings: z.array(z.object({ role: z.string().nullable(), name: z.string(), value: z.string() })),
  binding_roles: z.array(z.object({ role: z.string(), access: z.enum(['read-write', 'read-only']) })),
  named_roles: z.array(z.string()).default([]),
  database_bytes: count,
  server_version: version,
  dump_version: version,
  compression,
  encoding: z.string(),
  locale: z.string(),
});

/**
 * The commit record of a backup: a file of JSON beside its archive, written last. A backup exists if and only if its
 * manifest does, and all that the broker's catalogue knows of it can be read from here.
 */
const manifestSchema = z.object({
  version: z.literal(1),
  instance_id: z.string().min(1),
  backup_name: z.string(),
  origin: z.enum(['backup', 'upload']),
  /** Of the snapshot; of an upload when it was stored. */
  created_at: z.iso.datetime(),
  /** The file beside it, in PostgreSQL's custom format: `pg_restore` reads it. */
  archive: z.object({
    file: z.string(),
    size_bytes: count,
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
    compression: compression.nullable(),
    server_version: version.nullable(),
    dump_version: version.nullable(),
  }),
  /** What was true in the snapshot; unknown of an upload. */
  dump: facts.nullable(),
  requested_by: z.custom<Requester>((value) => typeof value === 'object' && value !== null),
  operation_id: z.uuid(),
  /** The broker's node that made it. */
  node: z.string(),
});

export type Manifest = z.output<typeof manifestSchema>;

export function manifestText(manifest: Manifest): string {
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

/**
 * The manifest as it can be read again: where it would be too large, without the count of each table.
 * @throws BrokerError dump_failed where that does not help
 */
export function readable(manifest: Manifest): Manifest {
  if (Buffer.byteLength(manifestText(manifest)) <= LARGEST_MANIFEST) return manifest;
  const smaller = { ...manifest, dump: manifest.dump && { ...manifest.dump, rows: {} } };
  const bytes = Buffer.byteLength(manifestText(smaller));
  if (bytes <= LARGEST_MANIFEST) return smaller;
  throw new BrokerError(
    'dump_failed',
    `the manifest of the backup would have ${bytes} bytes, and at most ${LARGEST_MANIFEST} can be read: the database has too many settings, or rights for too many roles`,
  );
}

/**
 * A manifest as it was read; what is beside these keys is ignored.
 * @throws BrokerError archive_damaged naming what is wrong
 */
export function parseManifest(text: string): Manifest {
  let tree: unknown;
  try {
    tree = JSON.parse(text);
  } catch {
    throw damaged('it is no JSON');
  }
  const parsed = manifestSchema.safeParse(tree);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0] ?? { path: [], message: 'unreadable' };
  throw damaged(`${path.map(String).join('.') || 'manifest'}: ${message}`);
}

function damaged(why: string): BrokerError {
  return new BrokerError('archive_damaged', `the manifest of the backup is damaged: ${why}`);
}

/** The catalogue's entry for a manifest that lies in a storage. */
export function entryOf(
  manifest: Manifest,
  storage: { name: string; node: string | null },
): Omit<Backup, 'recordedAt'> {
  const { archive, dump } = manifest;
  return {
    instanceId: manifest.instance_id,
    name: manifest.backup_name,
    storage: storage.name,
    node: storage.node,
    state: 'available',
    origin: manifest.origin,
    createdAt: new Date(manifest.created_at),
    sizeBytes: archive.size_bytes,
    sha256: archive.sha256,
    compression: archive.compression,
    databaseBytes: dump?.database_bytes ?? null,
    rows: dump?.row_total ?? null,
    tables: dump?.tables ?? null,
    serverVersion: archive.server_version,
    dumpVersion: archive.dump_version,
    lsn: dump?.lsn ?? null,
    requestedBy: manifest.requested_by,
    operationId: manifest.operation_id,
    orphanedAt: null,
  };
}
