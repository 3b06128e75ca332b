import { type BindingRole } from './tenant.js';

export type Compression = 'gzip' | 'zstd' | 'lz4' | 'none';

/** A setting of the database, or of a role in it. */
export interface DatabaseSetting {
  /** Null: for every role. */
  role: string | null;
  name: string;
  /** As the server stores it: of a list, its members quoted where they need it. */
  value: string;
}

/** What is known of a dump's snapshot besides the archive; all of it true at one moment. */
export interface DumpFacts {
  /** RFC 3339, UTC. */
  snapshot_at: string;
  /** Position in the write-ahead log. */
  lsn: string;
  /**
   * By `schema.table`, each quoted where SQL needs it. Without those that belong to extensions. Empty where they were
   * left out of a manifest that would have been too large.
   */
  rows: Record<string, number>;
  tables: number;
  row_total: number;
  extensions: { name: string; version: string }[];
  settings: DatabaseSetting[];
  binding_roles: BindingRole[];
  /** Roles to which rights or policies are given in the database, whosever they are. */
  named_roles: string[];
  database_bytes: number;
  server_version: string;
  dump_version: string;
  compression: Compression;
  encoding: string;
  locale: string;
}
