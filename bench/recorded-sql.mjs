import { readFileSync, statSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import pg from 'pg';

/** @typedef {{ text: string, values: (string | null)[] }} Statement */
/**
 * What the broker's sessions executed on a server for one piece of work, so that the same can be run without the broker.
 * @typedef {object} Recording
 * @property {{ database: string, statements: Statement[] }[]} sessions runs of statements in one database, in their order
 * @property {string[]} names of databases and roles that are new with each repetition
 */

const PREFIX = 'bench-line ';
/** Session's pid, database, application; kind of line; its text, whose further lines begin with a tab. */
const LINE = /^bench-line (\d+) (\S+) (\S+) (LOG|DETAIL): {2}([^]*)$/;

/**
 * Records what the broker executes during `work`.
 * @param {import('./bench-broker.mjs').BenchBroker} broker
 * @param {() => Promise<void>} work
 * @param {() => Promise<string[]>} names asked afterwards
 * @returns {Promise<Recording>}
 */
export async function record(broker, work, names) {
  const superuser = new pg.Client(broker.superuserUrl());
  await superuser.connect();
  const reload = async (/** @type {string[]} */ statements) => {
    for (const statement of statements) await superuser.query(statement);
    await superuser.query('SELECT pg_reload_conf()');
    await wait(500); // sessions read their settings again between two statements
  };
  await reload([`ALTER SYSTEM SET log_line_prefix = '${PREFIX}%p %d %a '`, `ALTER SYSTEM SET log_statement = 'all'`]);
  const from = statSync(broker.serverLog).size;
  await work();
  await wait(200);
  const text = readFileSync(broker.serverLog).subarray(from).toString();
  await reload(['ALTER SYSTEM RESET log_statement', 'ALTER SYSTEM RESET log_line_prefix']);
  await superuser.end();
  return { sessions: sessionsOf(text), names: await names() };
}

/** @param {string} text */
function sessionsOf(text) {
  /** @type {Recording['sessions']} */
  const sessions = [];
  let last = '';
  for (const line of text.split(/\n(?=bench-line )/)) {
    const [, pid = '', database = '', application = '', kind, said = ''] = LINE.exec(line.trimEnd()) ?? [];
    if (!application.startsWith('broker/') || database === 'broker_state') continue;
    const statement = /^(?:statement|execute [^:]+): ([^]*)$/.exec(said)?.[1];
    if (kind === 'DETAIL') {
      const called = sessions.at(-1)?.statements.at(-1);
      if (called) called.values = valuesOf(said);
    } else if (statement !== undefined) {
      if (pid !== last) sessions.push({ database, statements: [] });
      sessions.at(-1)?.statements.push({ text: statement, values: [] });
      last = pid;
    }
  }
  return sessions;
}

/** `parameters: $1 = 'text', $2 = NULL` @param {string} detail */
function valuesOf(detail) {
  const found = detail.matchAll(/\$\d+ = (?:'((?:[^']|'')*)'|NULL)/g);
  return [...found].map(([, text]) => (text === undefined ? null : text.replaceAll("''", "'")));
}

/**
 * Runs a recording again and again with new names: the statements for the maintenance database on a connection that is kept, those
 * for a tenant's own database on one that is made for them, as the broker does.
 */
export class Replay {
  #maintenance;

  /** @param {import('./bench-broker.mjs').BenchBroker} broker @param {Recording} recording */
  constructor(broker, recording) {
    this.broker = broker;
    this.recording = recording;
    this.#maintenance = new pg.Client(broker.brokerUrl);
  }

  connect() {
    return this.#maintenance.connect();
  }

  /** @param {Record<string, string>} [known] names that an earlier recording has made: they are kept @returns {Promise<Record<string, string>>} */
  async run(known = {}) {
    const fresh = Object.fromEntries(
      this.recording.names.map((name) => [name, known[name] ?? `${name.slice(0, 2)}${randomBytes(9).toString('hex')}`]),
    );
    const renamed = (/** @type {string} */ text) =>
      Object.entries(fresh).reduce((changed, [old, name]) => changed.replaceAll(old, name), text);
    for (const { database, statements } of this.recording.sessions) {
      const ours = statements.map(({ text, values }) => ({
        text: renamed(text),
        values: values.map((value) => value && renamed(value)),
      }));
      if (database === 'postgres') await execute(this.#maintenance, ours);
      else await this.#inDatabase(renamed(database), ours);
    }
    return fresh;
  }

  end() {
    return this.#maintenance.end();
  }

  /** @param {string} database @param {Statement[]} statements */
  async #inDatabase(database, statements) {
    const url = new URL(this.broker.brokerUrl);
    url.pathname = database;
    const client = new pg.Client(url.href);
    await client.connect();
    try {
      await execute(client, statements);
    } finally {
      await client.end();
    }
  }
}

/** @param {pg.Client} client @param {Statement[]} statements */
async function execute(client, statements) {
  // Without values in one message, as the broker sends several statements at once.
  for (const { text, values } of statements)
    await (values.length > 0 ? client.query(text, values) : client.query(text));
}
