import { codeOf } from './server-fault.js';
import { LONG_MS, type Session } from './session.js';

/** A table that a dump carries data of. */
export interface CountedTable {
  oid: number;
  /** `schema.table`, each quoted where SQL needs it. */
  name: string;
  bytes: number;
  estimatedRows: number;
  /** The file that holds its rows in the snapshot: another one's rows the snapshot does not show as they were. */
  file: number;
  /** FORCE ROW LEVEL SECURITY: its own owner does not see every row. */
  forced: boolean;
}

/** Round trips cost more than planning; a statement of too many branches costs memory. */
const TABLES_PER_QUERY = 50;
const PREPARATION = 'SET row_security = off; SET max_parallel_workers_per_gather = 0';
const LOCK_WAIT_MS = 100;
/** lock_not_available, undefined_table, invalid_schema_name. */
const NOT_TO_BE_HAD = ['55P03', '42P01', '3F000'];

/** What pg_dump takes the data of: ordinary tables and partitions, those of extensions left out. */
const TABLES = `
  SELECT c.oid::int8::text AS oid, format('%I.%I', n.nspname, c.relname) AS name,
    (greatest(c.relpages, 1)::int8 * 8192)::text AS bytes, greatest(c.reltuples, 0) AS estimated,
    c.relfilenode::int8::text AS file, c.relrowsecurity AND c.relforcerowsecurity AS forced
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'r' AND c.relpersistence <> 't'
    AND NOT starts_with(n.nspname, 'pg_') AND n.nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_depend d
      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
  ORDER BY 2`;

export async function countedTables(session: Session, signal: AbortSignal): Promise<CountedTable[]> {
  const rows = await session.query(TABLES, { signal, limitMs: LONG_MS });
  return rows.map((row) => ({
    oid: Number(row['oid']),
    name: String(row['name']),
    bytes: Number(row['bytes']),
    estimatedRows: Number(row['estimated']),
    file: Number(row['file']),
    forced: row['forced'] === true,
  }));
}

/** Exact counts, in the order of the tables. Fails, rather than counting less, where a policy would hide rows. */
export async function countRows(session: Session, tables: CountedTable[], signal: AbortSignal) {
  const rows: Record<string, number> = {};
  await session.query(PREPARATION, { signal });
  for (const batch of batchesOf(tables))
    for (const { table, n } of await count(session, batch, signal)) rows[table.name] = n;
  return rows;
}

export interface CountsBeside {
  rows: Record<string, number>;
  /** Tables that another statement holds, waits for, or has rewritten since the snapshot. */
  uncounted: CountedTable[];
}

/**
 * The same within the transaction of a snapshot, beside others: waits for nobody's lock, and lets go of each table as
 * soon as it is counted, of the last ones when the caller ends the session. A statement that waits for a lock makes all who come later wait behind it.
 */
export async function countBeside(
  session: Session,
  tables: CountedTable[],
  signal: AbortSignal,
): Promise<CountsBeside> {
  const rows: Record<string, number> = {};
  const uncounted: CountedTable[] = [];
  const all = batchesOf(tables);
  await session.query(`${PREPARATION}; SET lock_timeout = ${LOCK_WAIT_MS}; SAVEPOINT counting`, { signal });
  for (let batch = all.shift(); batch !== undefined; batch = all.shift()) {
    try {
      for (const { table, n, same } of await count(session, batch, signal))
        if (same) rows[table.name] = n;
        else uncounted.push(table);
    } catch (error) {
      if (!NOT_TO_BE_HAD.includes(codeOf(error))) throw error;
      if (batch.length === 1) uncounted.push(...batch);
      else all.unshift(...batch.map((table) => [table]));
    }
    if (all.length > 0) await session.query('ROLLBACK TO SAVEPOINT counting', { signal });
  }
  return { rows, uncounted };
}

function batchesOf(tables: CountedTable[]): CountedTable[][] {
  const batches: CountedTable[][] = [];
  for (let first = 0; first < tables.length; first += TABLES_PER_QUERY)
    batches.push(tables.slice(first, first + TABLES_PER_QUERY));
  return batches;
}

async function count(session: Session, batch: CountedTable[], signal: AbortSignal) {
  const text = batch.map(
    ({ name, oid, file }, index) =>
      `SELECT ${index} AS i, count(*) AS n, pg_relation_filenode(${oid}::oid) IS NOT DISTINCT FROM ${file}::oid AS same FROM ONLY ${name}`,
  );
  const counts = await session.query(text.join(' UNION ALL '), { signal, limitMs: LONG_MS });
  return counts.flatMap(({ i, n, same }) => {
    const table = batch[Number(i)];
    return table === undefined ? [] : [{ table, n: Number(n), same: same === true }];
  });
}

export function totalOf(rows: Record<string, number>): number {
  return Object.values(rows).reduce((total, count) => total + count, 0);
}
