import { setTimeout as delay } from 'node:timers/promises';
import { BrokerError } from '../errors.js';
import { carrySettings, type DatabaseTraits, readTraits, rightsStatements } from './carry-over.js';
import { connectionTarget } from './connection-target.js';
import { codeOf, isLost } from './server-fault.js';
import { type Server } from './server.js';
import { ident, literal, together } from './sql.js';
import { type TenantNames } from './tenant.js';

/** PostgreSQL itself gives up a rename after 5 s of somebody being connected. */
const GIVE_UP_MS = 5000;
const LIMIT_MS = 20_000;
const TERMINATE_EVERY_MS = 5;
const CHANNEL = 'broker_swap';

/** What is about to be done, to be recorded first: it tells after a crash whether it was done. */
export interface SwapIntent {
  /** The living database's name, before and after. */
  database: string;
  /** OID of the one that is replaced. */
  livingOid: number;
  /** OID of the one that takes its place. */
  incomingOid: number;
  incoming: string;
  /** The name that the replaced one gets. */
  outgoing: string;
}

export interface Swapped {
  /** From the first session ended to the commit. */
  outageMs: number;
  /** Settings of the database that only a superuser could take along. */
  leftOut: string[];
}

/**
 * Puts `incoming` in the place of the living database, which is kept as `outgoing`: one transaction, all of it or
 * nothing, also when broker or server dies. Limits, rights, settings and comment stay with the name.
 * @throws BrokerError database_in_use where a session does not end that the broker may not end; no_restore_point where
 *   `incoming` is not there. Nothing has changed then.
 */
export async function swapDatabases(
  server: Server,
  names: TenantNames,
  { incoming, outgoing }: { incoming: string; outgoing: string },
  recordIntent: (intent: SwapIntent) => Promise<void>,
  signal: AbortSignal,
): Promise<Swapped> {
  const [living, former] = await Promise.all([
    readTraits(server, names.database, signal),
    readTraits(server, incoming, signal),
  ]);
  if (living === undefined) throw new BrokerError('internal', 'the database of this instance is missing on its server');
  if (former === undefined) throw new BrokerError('no_restore_point', 'the database to be put in place is not there');
  const leftOut = await carrySettings(server, living, incoming, former.settings, signal);
  await assertFree(server, [living, former], signal);
  const intent = {
    ...{ database: names.database, livingOid: living.oid, incomingOid: former.oid },
    ...{ incoming, outgoing },
  };
  await recordIntent(intent);
  signal.throwIfAborted();
  const text = together(
    `SET LOCAL lock_timeout = ${GIVE_UP_MS}`,
    ...rightsStatements(names.database, incoming, living, former),
    `ALTER DATABASE ${ident(names.database)} RENAME TO ${ident(outgoing)}`,
    `ALTER DATABASE ${ident(incoming)} RENAME TO ${ident(names.database)}`,
  );
  return { outageMs: await rename(server, names, intent, text), leftOut };
}

/** @throws BrokerError server_unreachable, or internal where neither database has the name. */
export async function reconcileSwap(
  server: Server,
  names: TenantNames,
  intent: SwapIntent,
  signal: AbortSignal,
): Promise<'swapped' | 'not_swapped'> {
  const [row] = await server.sessions.query(
    `SELECT oid::int8::text AS oid FROM pg_database WHERE datname = ${literal(names.database)}`,
    { signal },
  );
  const oid = Number(row?.['oid']);
  if (oid === intent.incomingOid) return 'swapped';
  if (oid === intent.livingOid) return 'not_swapped';
  throw new BrokerError('internal', 'the database of this instance is missing on its server');
}

/** Who may not be ended is seen before anybody is. */
async function assertFree(server: Server, both: DatabaseTraits[], signal: AbortSignal): Promise<void> {
  const oids = both.map(({ oid }) => oid).join(', ');
  const text = `SELECT 'a session of ' || usename AS who FROM pg_stat_activity JOIN pg_roles r ON r.oid = usesysid
      WHERE datid IN (${oids}) AND r.rolsuper AND backend_type = 'client backend'
    UNION ALL SELECT 'the prepared transaction ' || gid FROM pg_prepared_xacts
      WHERE database IN (SELECT datname FROM pg_database WHERE oid IN (${oids}))`;
  for (const limit = Date.now() + GIVE_UP_MS; ;) {
    const [row] = await server.sessions.query(text, { signal });
    if (row === undefined) return;
    if (Date.now() > limit) throw inUse(String(row['who']));
    await delay(100, undefined, { signal });
  }
}

/**
 * The transaction, while sessions are ended beside it. Where RENAME sees a session it looks again only after 100 ms; a
 * notification, being a signal to its process, cuts that short. Not cancelled in the middle: it takes 5 s at most.
 */
async function rename(server: Server, names: TenantNames, intent: SwapIntent, text: string): Promise<number> {
  const limit = AbortSignal.timeout(LIMIT_MS);
  const done = new AbortController();
  let from = 0;
  let ending: Promise<void> | undefined;
  try {
    await server.sessions.inDatabase(connectionTarget(server.config).database, limit, async (session) => {
      await session.query(`LISTEN ${CHANNEL}`, { signal: limit });
      from = performance.now();
      ending = endSessions(server, intent, AbortSignal.any([limit, done.signal]));
      await session.query(text, { limitMs: LIMIT_MS });
    });
  } catch (error) {
    const cause = error instanceof BrokerError ? error.cause : error;
    if (/^(55006|55P03|57014)$/.test(codeOf(cause))) throw inUse('a session that the broker may not end', error);
    if (!isLost(cause)) throw error;
    const outcome = await reconcileSwap(server, names, intent, AbortSignal.timeout(LIMIT_MS)).catch(() => undefined);
    if (outcome !== 'swapped') throw error;
  } finally {
    done.abort();
    await ending;
  }
  return Math.round(performance.now() - from);
}

/** A look that fails is left out: the rename itself says whether everybody was gone. */
async function endSessions(server: Server, { livingOid, incomingOid }: SwapIntent, signal: AbortSignal): Promise<void> {
  const text = together(
    'SET LOCAL synchronous_commit = off',
    `SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid
     WHERE a.datid IN (${livingOid}, ${incomingOid}) AND NOT r.rolsuper`,
    `NOTIFY ${CHANNEL}`,
  );
  while (!signal.aborted) {
    await server.sessions.query(text, {}).catch(() => undefined);
    await delay(TERMINATE_EVERY_MS);
  }
}

function inUse(who: string, cause?: unknown): BrokerError {
  return new BrokerError(
    'database_in_use',
    `${who} is connected to the database and does not end: nothing has changed`,
    {
      cause,
      retryAfter: 5,
    },
  );
}
