/** The beginning of a statement tells what is asked here. */
const STATEMENT_CHARS = 16 * 1024;
const LINE_CHARS = 64 * 1024;

/**
 * Reads the statements of an archive (`pg_restore --schema-only --verbose --file=-`) as they pass, and finds those that
 * cannot work elsewhere: functions of compiled code, policies for roles of the place that the archive comes from.
 */
export class StatementReader {
  readonly ruledOut = new Map<number, string>();
  #rest = '';
  #entry: number | undefined;
  #statement = '';

  add(chunk: Buffer): void {
    const lines = (this.#rest + chunk.toString('latin1')).split('\n');
    this.#rest = (lines.pop() ?? '').slice(-LINE_CHARS);
    for (const line of lines) this.#read(line);
  }

  end(): void {
    this.#read(this.#rest);
    this.#judge();
  }

  #read(line: string): void {
    const [, id] = /^-- TOC entry (\d+) \(class /.exec(line) ?? [];
    if (id === undefined) {
      if (this.#statement.length < STATEMENT_CHARS && !line.startsWith('--'))
        this.#statement += `${line.slice(0, STATEMENT_CHARS)}\n`;
      return;
    }
    this.#judge();
    this.#entry = Number(id);
    this.#statement = '';
  }

  #judge(): void {
    const reason = reasonAgainst(this.#statement.trimStart());
    if (this.#entry !== undefined && reason !== undefined) this.ruledOut.set(this.#entry, reason);
  }
}

function reasonAgainst(statement: string): string | undefined {
  if (/^CREATE (OR REPLACE )?(FUNCTION|PROCEDURE) /.test(statement)) {
    const [declared = ''] = statement.split(/\n\s+(?:AS\b|BEGIN ATOMIC|RETURN\b)/, 1);
    return /\n\s+LANGUAGE (c|internal|"c"|"internal")(\s|$)/i.test(declared)
      ? 'only a superuser can create functions of compiled code'
      : undefined;
  }
  const [, roles] = /^CREATE POLICY [^;]*? TO ([^;]+?)(?= USING \(| WITH CHECK \(|;)/.exec(statement) ?? [];
  return roles === undefined || roles === 'PUBLIC' ? undefined : `for roles of the place that it comes from: ${roles}`;
}
