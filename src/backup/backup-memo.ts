import { type Operation } from '../operations/operation.entity.js';
import { type TenantNames } from '../postgres/tenant.js';
import { type Manifest } from './manifest.js';

/** What the work on an archive writes down, so that it can go on after a crash, or be undone. */
export interface ArchiveMemo {
  /** The tenant at whose server the ephemeral role is. */
  names?: TenantNames;
  /** Ephemeral role of the dump. */
  role?: string | null;
  storage?: string;
  /** Name that the backup gets; from then on archive and manifest may lie in the storage under it. */
  name?: string;
  /** File of the spool. */
  spool?: string | null;
  /** Of the multipart upload. */
  token?: string | null;
  /** The archive is spooled, whole; until then a dump starts again. */
  manifest?: Manifest;
  /** RFC 3339, when storing it, or recording what is stored, is given up, however often the broker restarts. */
  retry_until?: string;
  /** The archive lies in the storage, whole. */
  stored?: boolean;
  /** It has ended, but something of it could not be removed yet. */
  left?: boolean;
  /** Its node, while what it needs lies there; RFC 3339, when another may end it. */
  node?: string | null;
  node_until?: string | null;
}

/** As the handlers of this module wrote it, and nobody else. */
export function memoOf({ memo }: Operation): ArchiveMemo {
  return memo;
}
