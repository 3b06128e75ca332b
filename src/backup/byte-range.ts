import { type ByteRange } from '../storage/storage-provider.js';

/**
 * The range of a `Range` header (RFC 9110, section 14.2) within a representation of `size` bytes. Undefined where the
 * header is to be ignored: another unit, several ranges, malformed. `unsatisfiable` where it starts past the end.
 */
export function byteRange(header: string | undefined, size: number): Required<ByteRange> | 'unsatisfiable' | undefined {
  const [, first = '', last = ''] = /^bytes=\s*(\d{0,15})-(\d{0,15})\s*$/.exec(header ?? '') ?? [];
  if (first === '' && last === '') return undefined;
  if (first === '') {
    const length = Math.min(Number(last), size);
    return length === 0 ? 'unsatisfiable' : { start: size - length, end: size - 1 };
  }
  const start = Number(first);
  const end = last === '' ? size - 1 : Math.min(Number(last), size - 1);
  if (last !== '' && Number(last) < start) return undefined;
  return start >= size ? 'unsatisfiable' : { start, end };
}

/** Whether a list of entity tags (`If-Match`, `If-None-Match`) names this one. Strong comparison refuses weak tags. */
export function namesTag(header: string, tag: string, comparison: 'strong' | 'weak'): boolean {
  if (header.trim() === '*') return true;
  const tags = [...header.matchAll(/(W\/)?("[^"]*")/g)];
  return tags.some(([, weak, each]) => each === tag && (comparison === 'weak' || weak === undefined));
}
