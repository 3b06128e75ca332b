/**
 * Preloaded into a broker under test: the process kills itself (SIGKILL) at a chosen statement, so that a crash at
 * every step can be tried without any hook in the product. Orders come by messages of the parent:
 * `{ watch: true }` begins to record and to count, `{ killAt: n, when: 'before' | 'sent' }` does so too and ends the
 * process at the n-th statement (from 1); `{ report: true }` answers `{ statements }`.
 */
import pg from 'pg';

/** Statements that change something; only they count, so that the n-th one is always the same. */
const CHANGES =
  /\b(CREATE|ALTER|DROP|GRANT|REVOKE|REASSIGN|pg_terminate_backend)\b|\b(INSERT INTO|UPDATE|DELETE FROM) "?(operation|service_)/i;

/** What a broker does by itself, whatever is asked, so that it would count by the clock. */
const BY_ITSELF = /pgboss|starts_with\(runner/i;

/** Sessions in whose transaction something was changed: their COMMIT counts too. */
const changed = new WeakSet();

/** @type {string[]} */
let statements = [];
let watching = false;
/** @type {{ killAt: number, when: 'before' | 'sent' } | undefined} */
let order;

process.on('message', (message) => {
  const asked = /** @type {{ watch?: boolean, killAt?: number, when?: 'before' | 'sent', report?: boolean }} */ (
    message
  );
  if (asked.report) process.send?.({ statements });
  if (!asked.watch && asked.killAt === undefined) return;
  statements = [];
  watching = true;
  order = asked.killAt === undefined ? undefined : { killAt: asked.killAt, when: asked.when ?? 'before' };
  process.send?.({ watching: true });
});
// The broker alone decides whether it listens to its parent until the end.
process.channel?.unref();

/** @typedef {pg.Client & { connection: { stream: import('node:net').Socket } }} OpenClient */
/** @type {{ query: (this: OpenClient, ...given: unknown[]) => unknown }} */
const prototype = pg.Client.prototype;
const query = prototype.query;

prototype.query = /** @this {OpenClient} */ function (...given) {
  const text = textOf(given[0]);
  if (!watching || text === undefined || !counts(this, text)) return query.apply(this, given);
  statements.push(`${this.database}: ${text}`);
  const due = order !== undefined && statements.length === order.killAt;
  if (due && order?.when === 'before') process.kill(process.pid, 'SIGKILL');
  const answer = query.apply(this, given);
  if (due) killWhenSent(this);
  return answer;
};

/**
 * @param {OpenClient} client
 * @param {string} text
 */
function counts(client, text) {
  if (/^\s*(COMMIT|ROLLBACK)\b/i.test(text)) return changed.delete(client);
  if (!CHANGES.test(text) || BY_ITSELF.test(text)) return false;
  changed.add(client);
  return true;
}

/** @param {unknown} asked */
function textOf(asked) {
  if (typeof asked === 'string') return asked;
  const text = typeof asked === 'object' && asked !== null && 'text' in asked ? asked.text : undefined;
  return typeof text === 'string' ? text : undefined;
}

/** @param {OpenClient} client */
function killWhenSent(client) {
  setImmediate(() => {
    const { stream } = client.connection;
    if (stream.writableLength > 0) killWhenSent(client);
    else process.kill(process.pid, 'SIGKILL');
  });
}
