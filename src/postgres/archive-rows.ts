import { rm, writeFile } from 'node:fs/promises';
import { finished } from 'node:stream/promises';
import { BrokerError } from '../errors.js';
import { type CountedTable } from './row-counts.js';
import { reasonOf, startTool, toolOutput } from './tool-process.js';
import { type PostgresTools } from './tools.js';

const LIST_BYTES = 256 * 1024 * 1024;
const NEWLINE = 10;

/**
 * Rows that an archive holds of tables, by name. A short-lived file is written beside it.
 * @throws BrokerError dump_failed where the archive cannot be read, or lacks one of them
 */
export async function rowsInArchive(
  tools: PostgresTools,
  file: string,
  tables: CountedTable[],
  signal: AbortSignal,
): Promise<Record<string, number>> {
  if (tables.length === 0) return {};
  const program = tools.path('pg_restore', 'dump_failed');
  const options = { env: tools.plainEnvironment, signal };
  const toc = await toolOutput(program, ['--list', file], options, LIST_BYTES);
  if (!toc.ok) throw new BrokerError('dump_failed', reasonOf('pg_restore', toc));
  const entries = entriesOf(toc.output, tables);
  const listFile = `${file}.list`;
  await writeFile(listFile, entries.map(({ line }) => `${line}\n`).join(''), { mode: 0o600 });
  try {
    const tool = startTool(program, ['--data-only', `--use-list=${listFile}`, '--file=-', file], options);
    tool.stdin.end();
    const counter = new CopyCounter();
    tool.stdout.on('data', (chunk: Buffer) => counter.add(chunk));
    await finished(tool.stdout).catch(() => undefined);
    const end = await tool.ended;
    signal.throwIfAborted();
    if (!end.ok) throw new BrokerError('dump_failed', reasonOf('pg_restore', end));
    if (counter.counts.length !== tables.length)
      throw new BrokerError('dump_failed', `the archive lacks rows of ${tables.map(({ name }) => name).join(', ')}`);
    return Object.fromEntries(entries.map(({ name }, index) => [name, counter.counts[index] ?? 0]));
  } finally {
    await rm(listFile, { force: true });
  }
}

/** In the order of the archive, which is that of what pg_restore writes. */
function entriesOf(toc: string, tables: CountedTable[]): { line: string; name: string }[] {
  const names = new Map(tables.map(({ oid, name }) => [oid, name]));
  return toc.split('\n').flatMap((line) => {
    const [, oid] = /^\d+; \d+ (\d+) TABLE DATA /.exec(line) ?? [];
    const name = names.get(Number(oid));
    return name === undefined ? [] : [{ line, name }];
  });
}

/** Counts the lines of each `COPY ... FROM stdin` in a script, up to its `\.`; a row is one line (PostgreSQL's COPY). */
class CopyCounter {
  readonly counts: number[] = [];
  #rows: number | undefined;
  /** Of a line that has not ended yet: so much as tells it. */
  #before = '';

  add(chunk: Buffer): void {
    let at = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, at)) {
      if (this.#rows === undefined) this.#outside(this.#before + chunk.toString('latin1', at, end));
      else this.#inside(this.#before + chunk.toString('latin1', at, Math.min(end, at + 3)));
      this.#before = '';
      at = end + 1;
    }
    this.#before += chunk.toString(
      'latin1',
      at,
      this.#rows === undefined ? chunk.length : Math.min(chunk.length, at + 3),
    );
  }

  #outside(line: string): void {
    if (line.endsWith(' FROM stdin;')) this.#rows = 0;
  }

  #inside(line: string): void {
    if (line !== '\\.') {
      this.#rows = (this.#rows ?? 0) + 1;
      return;
    }
    this.counts.push(this.#rows ?? 0);
    this.#rows = undefined;
  }
}
