import { TRUSTED_EXTENSIONS } from '../config/default-catalog.js';
import { type ServiceInstance } from '../instances/service-instance.entity.js';

/** Text of an archive may be larger than what it becomes in the database: binary data are written in hexadecimal. */
const TEXT_SHARE = 2;

/** Most bytes to which an archive that was made elsewhere may unpack; undefined: as many as it likes. */
export function archiveLimit({ limits }: ServiceInstance): number | undefined {
  return limits.storage_bytes === undefined ? undefined : limits.storage_bytes * TEXT_SHARE;
}

/** What an archive that was made elsewhere may bring along. */
export function allowedExtensions({ limits }: ServiceInstance): readonly string[] {
  return limits.extensions ?? TRUSTED_EXTENSIONS;
}
