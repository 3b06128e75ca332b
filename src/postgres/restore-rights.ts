import { rm, writeFile } from 'node:fs/promises';
import { BrokerError } from '../errors.js';
import { parseList } from './archive-entries.js';
import { codeOf } from './server-fault.js';
import { type Session } from './session.js';
import { reasonOf, toolOutput } from './tool-process.js';
import { type PostgresTools } from './tools.js';

const SCRIPT_BYTES = 256 * 1024 * 1024;
/** Round trips cost more than statements. */
const STATEMENTS_PER_QUERY = 200;
const NAMED = 100;
/** Syntax or access rule violation (also of roles that do not exist), invalid grantor, dependent privileges. */
const REFUSED = /^(42|0L|2B)/;

const isRight = (kind: string | undefined) => kind === 'ACL' || kind === 'DEFAULT ACL';

/** An archive's list of contents in two: what makes and fills objects, and the rights to them. */
export function partedList(list: string): { objects: string; rights: string } {
  const { entries } = parseList(list);
  const text = (right: boolean) =>
    entries.flatMap(({ kind, line }) => (isRight(kind) === right ? [`${line}\n`] : [])).join('');
  return { objects: text(false), rights: text(true) };
}

/**
 * Gives the rights of the instance's own backup, statement by statement, in a session that is the owner: those of one
 * object are one entry of the archive, and one that cannot be given anymore must not take the others with it. Gives
 * what was left out.
 */
export async function restoreRights(
  tools: PostgresTools,
  session: Session,
  { file, rights }: { file: string; rights: string },
  signal: AbortSignal,
): Promise<string[]> {
  const statements = rights === '' ? [] : rightsIn(await scriptOf(tools, file, rights, signal));
  const leftOut: string[] = [];
  for (let first = 0; first < statements.length; first += STATEMENTS_PER_QUERY) {
    const batch = statements.slice(first, first + STATEMENTS_PER_QUERY);
    if ((await refusal(session, batch.join('\n'), signal)) === undefined) continue;
    for (const statement of batch) {
      const reason = await refusal(session, statement, signal);
      if (reason !== undefined) leftOut.push(`${statement.replace(/;$/, '')}: ${reason}`);
    }
  }
  const more = leftOut.length - NAMED;
  return more > 0 ? [...leftOut.slice(0, NAMED), `and ${more} more rights`] : leftOut;
}

async function refusal(session: Session, text: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    await session.query(text, { signal });
    return undefined;
  } catch (error) {
    if (signal.aborted || !REFUSED.test(codeOf(error))) throw error;
    return error instanceof Error ? error.message : String(error);
  }
}

async function scriptOf(tools: PostgresTools, file: string, list: string, signal: AbortSignal): Promise<string> {
  const listFile = `${file}.list`;
  await writeFile(listFile, list, { mode: 0o600 });
  try {
    const program = tools.path('pg_restore', 'restore_failed');
    const args = ['--no-owner', `--use-list=${listFile}`, '--file=-', file];
    const end = await toolOutput(program, args, { env: tools.plainEnvironment, signal }, SCRIPT_BYTES);
    if (!end.ok) throw new BrokerError('restore_failed', reasonOf('pg_restore', end));
    return end.output;
  } finally {
    await rm(listFile, { force: true });
  }
}

/**
 * The statements of pg_restore's script that give or take rights. Who gave one is not restored: only a superuser could
 * (`SET SESSION AUTHORIZATION`), so the owner gives it.
 */
function rightsIn(script: string): string[] {
  const pieces = script.match(/^(?:--|\\).*$|(?:[^"';\s]|'[^']*')(?:[^"';]|"[^"]*"|'[^']*')*;/gm) ?? [];
  return pieces.filter((piece) => /^(GRANT|REVOKE|ALTER DEFAULT PRIVILEGES) /.test(piece));
}
