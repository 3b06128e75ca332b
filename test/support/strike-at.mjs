/**
 * Preloaded into a broker under test: at a chosen moment one of its flows stands still, so that the test can end the
 * process exactly there, and several flows at once. Moments are statements, requests to other services, operations on
 * files, and ends of programs; each is one line of text. `{ strike }` of the parent names one by a pattern; the answer
 * is `{ struck: text }` when it has come. `before`: it does not happen; `after`: it has happened, and the broker does
 * not hear of it. `{ release }` lets all of them go on. `{ leap: ms }` sets the clock forward.
 */
import childProcess from 'node:child_process';
import fs from 'node:fs/promises';
import http from 'node:http';
import { syncBuiltinESMExports } from 'node:module';
import { connect } from 'node:net';
import { basename } from 'node:path';
import pg from 'pg';

/** @typedef {{ at: string, nth?: number, when: 'before' | 'after', not: string[] }} Strike */

/** @type {Strike | undefined} */
let strike;
let met = 0;
/** What came since the order, for a test that waits in vain. */
let seen = [''];

process.on('message', (message) => {
  const asked = /** @type {{ strike?: Strike, release?: boolean, report?: boolean, leap?: number }} */ (message);
  if (asked.leap !== undefined) leap(asked.leap);
  if (asked.release) {
    release();
    holdAnew();
  }
  if (asked.report) process.send?.({ seen });
  if (!asked.strike) return;
  strike = asked.strike;
  met = 0;
  seen = [];
  process.send?.({ armed: true });
});
// The broker alone decides whether it listens to its parent until the end.
process.channel?.unref();

/** @param {number} ms */
function leap(ms) {
  const { now } = Date;
  Date.now = () => now() + ms;
}

/**
 * @param {string} text
 * @returns {'before' | 'after' | undefined} whether this is the moment
 */
function due(text) {
  if (strike === undefined || strike.not.some((other) => text.includes(other))) return undefined;
  if (!/pgboss|SELECT \* FROM operation|TRANSACTION/.test(text)) seen = [...seen.slice(-30), text.slice(0, 300)];
  if (!new RegExp(strike.at).test(text) || ++met < (strike.nth ?? 1)) return undefined;
  const { when } = strike;
  strike = undefined;
  return when;
}

/** @param {string} text */
const struck = (text) => void process.send?.({ struck: text });

let release = () => {};
/** @type {Promise<void>} */
let released;
function holdAnew() {
  released = new Promise((resolve) => (release = resolve));
}
holdAnew();

/**
 * @template T
 * @param {string} text
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
async function at(text, work) {
  const when = due(text);
  if (when === undefined) return work();
  if (when === 'before') return struckUntilReleased(text).then(work);
  const done = await work();
  await struckUntilReleased(text);
  return done;
}

/** @param {string} text */
function struckUntilReleased(text) {
  struck(text);
  return released;
}

/** @typedef {pg.Client & { database: string }} OpenClient */
/** @type {{ query: (this: OpenClient, ...given: unknown[]) => unknown }} */
const prototype = pg.Client.prototype;
const query = prototype.query;
/** Statements of a session's open transaction: its COMMIT is known by them. @type {WeakMap<OpenClient, string>} */
const open = new WeakMap();

prototype.query = /** @this {OpenClient} */ function (...given) {
  const statement = statementOf(given);
  if (statement === undefined) return query.apply(this, given);
  const text = `sql ${this.database}: ${statement} ${open.get(this) ?? ''}`;
  // One that has more statements behind it ends its transaction by itself.
  if (/^(BEGIN|START TRANSACTION)[^;]*$/.test(statement)) open.set(this, '');
  else if (/^(COMMIT|ROLLBACK)/.test(statement)) open.delete(this);
  else if (open.has(this)) open.set(this, `${open.get(this)} after ${statement.slice(0, 400)}`);
  const when = due(text);
  if (when === undefined) return query.apply(this, given);
  if (typeof given.at(-1) !== 'function') {
    if (when === 'before') return struckUntilReleased(text).then(() => query.apply(this, given));
    const answer = /** @type {Promise<unknown>} */ (query.apply(this, given));
    return answer.finally(() => struckUntilReleased(text));
  }
  if (when === 'before') return void struckUntilReleased(text).then(() => query.apply(this, given));
  const tell = /** @type {(...said: unknown[]) => void} */ (given.at(-1));
  /** @param {unknown[]} said */
  const late = (...said) => void struckUntilReleased(text).then(() => tell(...said));
  return query.apply(this, [...given.slice(0, -1), late]);
};

/** @param {unknown[]} given */
function statementOf([asked, values]) {
  const config = /** @type {{ text?: unknown, values?: unknown }} */ (
    typeof asked === 'string' ? { text: asked } : asked
  );
  const all = Array.isArray(values) ? values : config?.values;
  if (typeof config?.text !== 'string') return undefined;
  return `${config.text} ${JSON.stringify(all ?? []).slice(0, 20_000)}`.replaceAll(/\s+/g, ' ').trim();
}

/** @typedef {(...given: unknown[]) => Promise<unknown>} Any */

const request = http.request;
/**
 * @param {http.RequestOptions} options
 * @param {(response: http.IncomingMessage) => void} [answered]
 */
const requested = (options, answered) => {
  const text = `http ${options.method} ${options.path}`;
  const when = due(text);
  if (when === undefined) return request(options, answered);
  if (when === 'before') {
    const still = struckUntilReleased(text);
    /** @type {http.RequestOptions['createConnection']} */
    const createConnection = (to, connected) => {
      void still.then(() => connected(null, connect(/** @type {import('node:net').TcpNetConnectOpts} */ (to))));
      return undefined;
    };
    return request({ ...options, agent: undefined, createConnection }, answered);
  }
  const sent = request(options, answered);
  const emit = /** @type {(event: string, ...said: unknown[]) => boolean} */ (sent.emit.bind(sent));
  /**
   * @param {string} event
   * @param {unknown[]} said
   */
  const emitted = (event, ...said) => {
    if (event !== 'response') return emit(event, ...said);
    void struckUntilReleased(text).then(() => emit(event, ...said));
    return true;
  };
  return Object.assign(sent, { emit: emitted });
};
Object.assign(http, { request: requested });

for (const name of /** @type {const} */ (['rename', 'link', 'symlink', 'unlink', 'rm', 'writeFile'])) {
  const original = /** @type {Any} */ (fs[name]);
  /** @param {unknown[]} given */
  const patched = (...given) => {
    const paths = given.slice(0, name === 'writeFile' ? 1 : 2).filter((each) => typeof each === 'string');
    return at(`file ${name} ${paths.join(' to ')}`, () => original(...given));
  };
  Object.assign(fs, { [name]: patched });
}

const { open: openFile } = fs;
/** @type {typeof fs.open} */
const openedFile = async (path, ...more) => {
  const handle = await openFile(path, ...more);
  for (const name of /** @type {const} */ (['write', 'sync'])) {
    const original = /** @type {Any} */ (handle[name]).bind(handle);
    /** @param {unknown[]} given */
    const patched = (...given) => at(`file ${name} ${String(path)}`, () => original(...given));
    Object.assign(handle, { [name]: patched });
  }
  return handle;
};
Object.assign(fs, { open: openedFile });

const spawn = /** @type {(...given: unknown[]) => childProcess.ChildProcess} */ (childProcess.spawn);
/** @param {unknown[]} given */
const spawned = (...given) => {
  const child = spawn(...given);
  const emit = /** @type {(event: string, ...said: unknown[]) => boolean} */ (child.emit.bind(child));
  /** @type {Promise<void> | undefined} */
  let still;
  /**
   * @param {string} event
   * @param {unknown[]} said
   */
  const emitted = (event, ...said) => {
    const text = `end of ${basename(String(given[0]))}`;
    if (event === 'exit' && due(text) !== undefined) still = struckUntilReleased(text);
    if (still === undefined) return emit(event, ...said);
    void still.then(() => emit(event, ...said));
    return true;
  };
  return Object.assign(child, { emit: emitted });
};
Object.assign(childProcess, { spawn: spawned });

syncBuiltinESMExports();
