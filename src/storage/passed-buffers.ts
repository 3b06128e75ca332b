import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const COLLECT_BYTES = 4 * 1024 * 1024;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as (options: { type: 'minor' }) => void;
let since = 0;

/**
 * To be told of the bytes of each buffer that a transfer has passed on. V8 sees a buffer as a small object and collects
 * late, by when some 60 MB of dead ones are resident: a collection of young objects only, a fraction of a millisecond,
 * keeps a transfer of any size within a few MB.
 */
export function notePassed(bytes: number): void {
  since += bytes;
  if (since < COLLECT_BYTES) return;
  since = 0;
  collect({ type: 'minor' });
}
