import { createHash } from 'node:crypto';
import { BrokerError } from '../errors.js';

const SEGMENT = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$/;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const FOLDER = /^(?:[a-z0-9-]|_[0-9a-f]{2})+$|^_h[0-9a-f]{64}$/;
const LONGEST_FOLDER = 160;

export interface ParsedKey {
  /** `instanceFolder` of the instance. */
  folder: string;
  /** Absent where the id is too long to be spelt out: then only the manifest knows it. */
  instanceId?: string;
  backupName: string;
  kind: 'archive' | 'manifest';
}

/**
 * The folder of an instance: its id with every byte of its UTF-8 form other than a-z, 0-9 and `-` written as `_xx`, so
 * that no id leaves its place, meets another on a file system that ignores case, or needs escaping in a URL. An id that
 * gets longer than 160 characters is `_h` and its SHA-256. The empty id, and one that has no UTF-8 form, is `invalid_request`.
 */
export function instanceFolder(instanceId: string): string {
  const bytes = Buffer.from(instanceId, 'utf8');
  if (bytes.length === 0 || bytes.toString('utf8') !== instanceId)
    throw new BrokerError('invalid_request', 'expected an instance id of at least one character, as UTF-8');
  const spelt = instanceId.replace(/[^a-z0-9-]/gsu, (character) =>
    Buffer.from(character, 'utf8').toString('hex').replace(/../g, '_$&'),
  );
  return spelt.length <= LONGEST_FOLDER ? spelt : `_h${createHash('sha256').update(bytes).digest('hex')}`;
}

/** Where the archive of a backup lies. A name that is not one of a backup is `invalid_request`. */
export function archiveKey(instanceId: string, backupName: string): string {
  return `${instanceFolder(instanceId)}/${checkedName(backupName)}.dump`;
}

/** Where the manifest of a backup lies, beside its archive. */
export function manifestKey(instanceId: string, backupName: string): string {
  return `${instanceFolder(instanceId)}/${checkedName(backupName)}.json`;
}

/** What `archiveKey` or `manifestKey` made the key from; undefined for any other key. */
export function parseKey(key: string): ParsedKey | undefined {
  const [, folder = '', backupName = '', ending] = /^([^/]+)\/([^/]+)\.(dump|json)$/.exec(key) ?? [];
  if (!FOLDER.test(folder) || !NAME.test(backupName)) return undefined;
  const kind = ending === 'dump' ? 'archive' : 'manifest';
  if (folder.startsWith('_h')) return { folder, backupName, kind };
  const instanceId = decodeFolder(folder);
  return instanceId === undefined ? undefined : { folder, instanceId, backupName, kind };
}

/** Whether a provider takes the key: at most 500 characters in segments of letters, digits, `.`, `_` and `-` that start with no dot. */
export function isKey(key: string): boolean {
  return key.length <= 500 && key.split('/').every((segment) => SEGMENT.test(segment));
}

/** @throws BrokerError `invalid_request` */
export function assertKey(key: string): void {
  if (!isKey(key)) throw new BrokerError('invalid_request', 'expected the key of an archive or a manifest');
}

/** @throws BrokerError `invalid_request` unless some key may start with it */
export function assertKeyPrefix(prefix: string): void {
  const segments = prefix.split('/');
  const last = segments.pop();
  const complete = last === '' ? segments : [...segments, last ?? ''];
  if (prefix.length > 500 || !complete.every((segment) => SEGMENT.test(segment)))
    throw new BrokerError('invalid_request', 'expected the beginning of a key');
}

function checkedName(name: string): string {
  if (!NAME.test(name))
    throw new BrokerError(
      'invalid_request',
      'expected a backup name of at most 128 letters, digits, dots, _ and - that starts with a letter or a digit',
    );
  return name;
}

/** Undefined where `instanceFolder` would have written the id otherwise. */
function decodeFolder(folder: string): string | undefined {
  const bytes = folder.replace(/[a-z0-9-]|_(..)/g, (whole, hex?: string) => hex ?? Buffer.from(whole).toString('hex'));
  const instanceId = Buffer.from(bytes, 'hex').toString('utf8');
  return instanceFolder(instanceId) === folder ? instanceId : undefined;
}
