import { setTimeout as delay } from 'node:timers/promises';
import { type CountedTable } from './row-counts.js';
import { type Server } from './server.js';
import { literal } from './sql.js';

const EVERY_MS = 1000;

export interface TransferProgress {
  /** From 0 to 100; never goes back. An estimate. */
  percent: number;
}

interface Copying {
  pid: number;
  relation: number;
  rows: number;
  bytes: number;
}

/** Follows the COPY commands of one role until the signal is aborted. A look that fails is left out. */
async function follow(server: Server, role: string, ended: AbortSignal, see: (copies: Copying[]) => void) {
  const text = `SELECT c.pid, c.relid::int8::text AS relation, c.tuples_processed AS rows, c.bytes_processed AS bytes
    FROM pg_stat_progress_copy c JOIN pg_stat_activity a USING (pid) WHERE a.usename = ${literal(role)}`;
  while (!ended.aborted) {
    await delay(EVERY_MS, undefined, { signal: ended, ref: false }).catch(() => undefined);
    if (ended.aborted) return;
    const rows = await server.sessions.query(text, { signal: ended }).catch(() => []);
    see(
      rows.map((row) => ({
        pid: Number(row['pid']),
        relation: Number(row['relation']),
        rows: Number(row['rows']),
        bytes: Number(row['bytes']),
      })),
    );
  }
}

/** A dump goes through the tables one by one; each counts by its size. */
export function followDump(
  server: Server,
  role: string,
  tables: CountedTable[],
  ended: AbortSignal,
  tell: (progress: TransferProgress) => void,
): void {
  const total = tables.reduce((sum, { bytes }) => sum + bytes, 0) || 1;
  const seen = new Set<number>();
  let percent = 0;
  void follow(server, role, ended, ([copy]) => {
    if (copy === undefined) return;
    seen.add(copy.relation);
    const done = tables.reduce((sum, { oid, bytes, estimatedRows }) => {
      if (!seen.has(oid)) return sum;
      return sum + (oid === copy.relation ? bytes * Math.min(copy.rows / (estimatedRows || Infinity), 1) : bytes);
    }, 0);
    percent = Math.max(percent, Math.floor((done / total) * 100));
    tell({ percent });
  });
}

/** Data are some three quarters of a restore, indexes and constraints the rest. */
const DATA_SHARE = 75;

/** A restore's COPY commands, several at once, over the archive's exact size. */
export function followRestore(
  server: Server,
  role: string,
  totalBytes: number,
  ended: AbortSignal,
  tell: (progress: TransferProgress) => void,
): void {
  const byCopy = new Map<string, number>();
  let percent = 0;
  void follow(server, role, ended, (copies) => {
    for (const { pid, relation, bytes } of copies) byCopy.set(`${pid}/${relation}`, bytes);
    const done = [...byCopy.values()].reduce((sum, bytes) => sum + bytes, 0);
    percent = Math.max(percent, Math.floor(Math.min(done / Math.max(totalBytes, 1), 1) * DATA_SHARE));
    tell({ percent });
  });
}
