import { BrokerError } from '../errors.js';
import { reasonOf, type ToolEnd } from './tool-process.js';

/** So many bytes tell every format that is told apart here. */
export const HEAD_BYTES = 512;

const MAGIC = 'PGDMP';
/** Magic, version (3), sizes of integers and offsets (2), format (PostgreSQL's pg_backup_archiver.c, WriteHead). */
const FORMAT_AT = 10;
const CUSTOM = 1;

/** Why a file that begins so is no archive that can be taken; undefined where it may be one. */
export function formatFault(head: Buffer): BrokerError | undefined {
  const invalid = (what: string) =>
    new BrokerError('archive_invalid', `${what}: expected the custom format of pg_dump (pg_dump -Fc)`);
  if (head.length === 0) return invalid('the archive is empty');
  if (head.toString('latin1', 0, MAGIC.length) === MAGIC) {
    const format = head[FORMAT_AT];
    if (format === undefined) return invalid('the archive ends within its first bytes');
    return format === CUSTOM ? undefined : invalid('the table of contents of a dump in directory or tar format');
  }
  if (head.toString('latin1', 257, 262) === 'ustar') return invalid('a tar archive');
  if (head[0] === 0x1f && head[1] === 0x8b) return invalid('a file compressed by gzip');
  if (head.readUIntBE(0, Math.min(4, head.length)) === 0x28b52ffd) return invalid('a file compressed by zstd');
  if (head.toString('latin1', 0, 2) === 'PK') return invalid('a zip file');
  if (/^\s*(--|\/\*|\\|SET |CREATE |BEGIN)/i.test(head.toString('latin1'))) return invalid('a script in plain SQL');
  return invalid('not an archive of pg_dump');
}

/** What a failed `pg_restore` says about the archive that it read. `reading`: the table of contents was good. */
export function archiveFault(end: ToolEnd, { reading }: { reading: boolean }): BrokerError {
  const reason = reasonOf('pg_restore', end);
  if (end.signal !== null) return new BrokerError('archive_invalid', `the archive is invalid: ${reason}`);
  if (/unsupported version \(/.test(end.stderr))
    return new BrokerError('archive_too_new', `the archive is newer than the broker's pg_restore: ${reason}`);
  if (/does not support compression|this build does not support/.test(end.stderr))
    return new BrokerError('archive_too_new', `the archive's compression is not known here: ${reason}`);
  if (reading || /end of file|too short|unexpected end/i.test(end.stderr))
    return new BrokerError('archive_damaged', `the archive is damaged: ${reason}`);
  return new BrokerError('archive_invalid', `the archive is invalid: ${reason}`);
}

export function tooLarge(maxBytes: number): BrokerError {
  return new BrokerError('archive_rejected', `unpacked, the archive holds more than the ${maxBytes} bytes allowed`);
}
