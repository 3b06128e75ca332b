import { LONG_MS, type Session } from './session.js';

/** A table that a dump carries data of. */
export interface CountedTable {
  oid: number;
  /** `schema.table`, each quoted where SQL needs it. */
  name: string;
  bytes: number;
  estimatedRows: number;
  /** FORCE ROW LEVEL SECURITY: its own owner does not see every row. */
  forced: boolean;
}

/** Round trips cost more than planning; a statement of too many branches costs memory. */
const TABLES_PER_QUERY = 50;

/** What pg_dump takes the data of: ordinary tables and partitions, those of extensions left out. */
const TABLES = `
  SELECT c.oid::int8::text AS oid, format('%I.%I', n.nspname, c.relname) AS name,
    (greatest(c.relpages, 1)::int8 * 8192)::text AS bytes, greatest(c.reltuples, 0) AS estimated,
    c.relrowsecurity AND c.relforcerowsecurity AS forced
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
    forced: row['forced'] === true,
  }));
}

/** Exact counts, in the order of the tables. Fails, rather than counting less, where a policy would hide rows. */
export async function countRows(session: Session, tables: CountedTable[], signal: AbortSignal) {
  const rows: Record<string, number> = {};
  await session.query('SET row_security = off; SET max_parallel_workers_per_gather = 0', { signal });
  for (let first = 0; first < tables.length; first += TABLES_PER_QUERY) {
    const batch = tables.slice(first, first + TABLES_PER_QUERY);
    const text = batch.map(({ name }, index) => `SELECT ${index} AS i, count(*) AS n FROM ONLY ${name}`);
    const counts = await session.query(text.join(' UNION ALL '), { signal, limitMs: LONG_MS });
    for (const { i, n } of counts) rows[batch[Number(i)]?.name ?? ''] = Number(n);
  }
  return rows;
}

export function totalOf(rows: Record<string, number>): number {
  return Object.values(rows).reduce((total, count) => total + count, 0);
}
