import { appendFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { SHORTEST_SECRET } from './leaking-lines.mjs';
import { testRun } from './test-run.js';

/** Keeps a password, key or token that was drawn in this run: no log of the run may hold it, in no spelling. */
export function keepSecret(secret: string): void {
  if (secret.length >= SHORTEST_SECRET) append('secrets', JSON.stringify(secret));
}

/** Keeps what a broker that a test has started wrote, until the run's end, when it is searched for secrets. */
export function keepLog(text: string): void {
  append('logs', text);
}

/** One file per process: processes write at the same time. Outside of a run of the tests nothing is kept. */
function append(kind: 'secrets' | 'logs', text: string): void {
  if (process.env['BROKER_TEST_RUN'] === undefined) return;
  const folder = join(testRun().folder, kind);
  mkdirSync(folder, { recursive: true });
  appendFileSync(join(folder, String(process.pid)), `${text}\n`);
}
