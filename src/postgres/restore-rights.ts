import { rm, writeFile } from 'node:fs/promises';
import { BrokerError } from '../errors.js';
import { type ArchiveEntry, parseList } from './archive-entries.js';
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
const RIGHT = /^(GRANT|REVOKE|ALTER DEFAULT PRIVILEGES) /;

/** An archive's list of contents: what makes and fills objects, policies where they are asked for, and rights. */
export function partedList(list: string, policiesApart: boolean) {
  const { entries } = parseList(list);
  const partOf = ({ kind, tag }: ArchiveEntry) => {
    if (kind === 'ACL' || kind === 'DEFAULT ACL') return 'rights';
    const ofPolicy = kind === 'POLICY' || (kind === 'COMMENT' && tag.startsWith('POLICY '));
    return policiesApart && ofPolicy ? 'policies' : 'objects';
  };
  const text = (part: string) =>
    entries.flatMap((entry) => (partOf(entry) === part ? [`${entry.line}\n`] : [])).join('');
  return { objects: text('objects'), policies: text('policies'), rights: text('rights') };
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
  const statements = await statementsOf(tools, file, rights, RIGHT, signal);
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

/**
 * The statements of an archive's entries that begin so; pg_restore's own settings and comments are left out. Who gave a
 * right is too: only a superuser could restore that (`SET SESSION AUTHORIZATION`), so the owner gives it.
 */
export async function statementsOf(
  tools: PostgresTools,
  file: string,
  list: string,
  beginning: RegExp,
  signal: AbortSignal,
): Promise<string[]> {
  if (list === '') return [];
  const script = await scriptOf(tools, file, list, signal);
  const pieces = script.match(/^(?:--|\\).*$|(?:[^"';\s]|'[^']*')(?:[^"';]|"[^"]*"|'[^']*')*;/gm) ?? [];
  return pieces.filter((piece) => beginning.test(piece));
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
