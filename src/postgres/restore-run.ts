import { rm, writeFile } from 'node:fs/promises';
import { BrokerError } from '../errors.js';
import { type EphemeralLogin } from './ephemeral-role.js';
import { reasonOf, startTool, type ToolEnd } from './tool-process.js';
import { type PostgresTools } from './tools.js';

export interface RestoreRun {
  file: string;
  jobs: number;
  /** A backup of the same instance: an error fails it. */
  own: boolean;
  /** The server's version, such as 150018. */
  versionNumber: number;
  /** Text for `--use-list`. */
  list: string;
  database: string;
}

const NAMED_ERRORS = 1000;
const COMMAND_CHARS = 200;
const LINE_CHARS = 1000;

/** pg_restore sets it in every session, whether the server knows it or not (PostgreSQL 17, _doSetFixedOutputState). */
const LATER_SETTING = 'transaction_timeout';
const LATER_MAJOR = 17;

/** Whether it meets that error, which means nothing, and has to go on after it. */
function isForLater(toolMajor: number, versionNumber: number): boolean {
  return toolMajor >= LATER_MAJOR && versionNumber < LATER_MAJOR * 10_000;
}

/**
 * Runs pg_restore. Gives the errors that it met, each with its statement; an own backup's
 * rejects with restore_failed, and so does whatever ends pg_restore before the archive's end.
 */
export async function runRestore(
  tools: PostgresTools,
  login: EphemeralLogin,
  run: RestoreRun,
  signal: AbortSignal,
): Promise<string[]> {
  const listFile = `${run.file}.list`;
  await writeFile(listFile, run.list, { mode: 0o600 });
  try {
    const { major } = await tools.version('pg_restore', 'restore_failed');
    const toTheEnd = isForLater(major, run.versionNumber);
    const args = [
      ...['--no-password', '--no-owner', '--no-tablespaces', `--jobs=${run.jobs}`, `--use-list=${listFile}`],
      ...(run.own ? [] : ['--no-acl', '--no-publications', '--no-security-labels']),
      ...(run.own && !toTheEnd ? ['--exit-on-error'] : []),
      ...['--no-subscriptions', `--dbname=${conninfo(run.database)}`, run.file],
    ];
    const errors = new ErrorReader();
    const tool = startTool(tools.path('pg_restore', 'restore_failed'), args, {
      env: await tools.environment(login.target, run.database),
      secrets: [login.target.password],
      signal,
      onStderr: (text) => errors.add(text),
    });
    tool.stdin.end();
    tool.stdout.resume();
    const end = await tool.ended;
    signal.throwIfAborted();
    const { found, complete, count } = errors.end();
    const failed = (run.own && count > 0) || !complete || end.signal !== null;
    if (!end.ok && failed) throw restoreFault(end, found);
    return found;
  } finally {
    await rm(listFile, { force: true });
  }
}

function conninfo(database: string): string {
  return `dbname='${database.replace(/[\\']/g, '\\$&')}'`;
}

function restoreFault(end: ToolEnd, errors: string[]): BrokerError {
  const reason = errors[0] ?? reasonOf('pg_restore', end);
  if (/No space left on device|could not extend file/.test(end.stderr))
    return new BrokerError('server_full', `the server has no disk space left: ${reason}`);
  const lost = /server closed the connection|terminating connection|connection to server at|the database system is/i;
  return lost.test(end.stderr)
    ? new BrokerError('server_unreachable', `the server was lost during the restore: ${reason}`, { retryAfter: 5 })
    : new BrokerError('restore_failed', reason, { details: { errors } });
}

const UNKNOWN_SETTING = `unrecognized configuration parameter "${LATER_SETTING}"`;

/**
 * Puts pg_restore's messages together: `error: could not execute query: ERROR: ...`, later `Command was: ...`. What its
 * jobs say at once may come mixed; only the end of a line is sure to be in one piece, and the number at the end is right.
 */
class ErrorReader {
  readonly #found: string[] = [];
  #rest = '';
  /** How many pg_restore says that it met; undefined unless it went on to the end in spite of them. */
  #ignored: number | undefined;
  #total = 0;
  #unknown = 0;
  #unknownSet = 0;
  #last = '';

  add(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = (lines.pop() ?? '').slice(0, LINE_CHARS);
    for (const line of lines) this.#read(line);
  }

  /** `complete`: pg_restore went on to the end in spite of them; `count`: also of those that could not be read. */
  end(): { found: string[]; complete: boolean; count: number } {
    this.#read(this.#rest);
    const meaningless = Math.min(this.#unknown, this.#unknownSet);
    const count = Math.max((this.#ignored ?? 0) - meaningless, this.#total);
    const more = count - this.#found.length;
    const found = more > 0 ? [...this.#found, `and ${more} more`] : this.#found;
    return { found, complete: this.#ignored !== undefined, count };
  }

  #read(line: string): void {
    const [, ignored] = /warning: errors ignored on restore: (\d+)$/.exec(line) ?? [];
    if (ignored !== undefined) this.#ignored = Number(ignored);
    if (line.endsWith(UNKNOWN_SETTING)) this.#unknown += 1;
    const [, command] = /Command was: (.*)$/.exec(line) ?? [];
    if (command === `SET ${LATER_SETTING} = 0;`) this.#unknownSet += 1;
    else if (command !== undefined && this.#total === this.#found.length && this.#total > 0 && this.#last !== '')
      this.#found.push(`${command.slice(0, COMMAND_CHARS)}: ${this.#found.pop()}`);
    const [, message] = /^pg_restore: error: (?:could not execute query: )?(?:ERROR: +)?(.*)$/.exec(line) ?? [];
    if (message === undefined) return;
    this.#last = message === UNKNOWN_SETTING ? '' : message;
    if (this.#last === '') return;
    this.#total += 1;
    if (this.#found.length < NAMED_ERRORS) this.#found.push(message.slice(0, LINE_CHARS));
  }
}
