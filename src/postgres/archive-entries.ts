/** One line of an archive's table of contents, as `pg_restore --list` gives it. */
export interface ArchiveEntry {
  id: number;
  /** As `--use-list` takes it. */
  line: string;
  /** Such as TABLE DATA; undefined for what is not known here. */
  kind: string | undefined;
  /** Of an entry without schema: an empty text. */
  schema: string;
  tag: string;
  owner: string;
}

export interface ArchiveHead {
  createdAt?: string | undefined;
  serverVersion?: string | undefined;
  dumpVersion?: string | undefined;
}

/** What an owner of its database can restore. */
const PLAIN = [
  ...['SCHEMA', 'EXTENSION', 'SHELL TYPE', 'TYPE', 'DOMAIN', 'FUNCTION', 'PROCEDURE', 'AGGREGATE', 'OPERATOR', 'CAST'],
  ...['COLLATION', 'CONVERSION', 'TABLE', 'TABLE ATTACH', 'TABLE DATA', 'VIEW', 'MATERIALIZED VIEW', 'DEFAULT'],
  ...['MATERIALIZED VIEW DATA', 'SEQUENCE', 'SEQUENCE SET', 'SEQUENCE OWNED BY', 'INDEX', 'INDEX ATTACH', 'STATISTICS'],
  ...['CONSTRAINT', 'CHECK CONSTRAINT', 'FK CONSTRAINT', 'TRIGGER', 'RULE', 'ROW SECURITY', 'POLICY', 'COMMENT'],
  ...['BLOB', 'BLOBS', 'BLOB METADATA', 'LARGE OBJECT', 'LARGE OBJECTS', 'TEXT SEARCH CONFIGURATION'],
  'TEXT SEARCH DICTIONARY',
];

/** Rights and subscriptions of readers: taken over from the instance's own backups only. */
const OWN_ONLY = ['ACL', 'DEFAULT ACL', 'PUBLICATION', 'PUBLICATION TABLE', 'PUBLICATION TABLES IN SCHEMA'];

/** Of a superuser, or of what lies outside the database. */
const NEVER = [
  ...['EVENT TRIGGER', 'SUBSCRIPTION', 'SUBSCRIPTION TABLE', 'SERVER', 'USER MAPPING', 'FOREIGN DATA WRAPPER'],
  ...['FOREIGN TABLE', 'ACCESS METHOD', 'OPERATOR CLASS', 'OPERATOR FAMILY', 'PROCEDURAL LANGUAGE', 'TRANSFORM'],
  ...['TEXT SEARCH PARSER', 'TEXT SEARCH TEMPLATE', 'SECURITY LABEL', 'DATABASE', 'DATABASE PROPERTIES'],
];

const KINDS = [...PLAIN, ...OWN_ONLY, ...NEVER].sort((a, b) => b.length - a.length);

export function parseList(text: string): { head: ArchiveHead; entries: ArchiveEntry[] } {
  const lines = text.split('\n');
  const said = (label: string) =>
    lines
      .find((line) => line.startsWith(`; ${label}`) || line.startsWith(`;     ${label}`))
      ?.split(label)[1]
      ?.trim();
  const head = {
    createdAt: said('Archive created at '),
    serverVersion: said('Dumped from database version: '),
    dumpVersion: said('Dumped by pg_dump version: '),
  };
  return { head, entries: lines.flatMap(parseEntry) };
}

function parseEntry(line: string): ArchiveEntry[] {
  const [, id, rest] = /^(\d+); \d+ \d+ (.*)$/.exec(line) ?? [];
  if (id === undefined || rest === undefined) return [];
  const kind = KINDS.find((known) => rest.startsWith(`${known} `));
  const [schema = '', ...names] = rest.slice(kind === undefined ? 0 : kind.length + 1).split(' ');
  const owner = names.pop() ?? '';
  return [{ id: Number(id), line, kind, schema: schema === '-' ? '' : schema, tag: names.join(' '), owner }];
}

export interface Selection {
  /** Text for `--use-list`. */
  list: string;
  /** What is not restored, by name. */
  leftOut: string[];
}

export interface SelectionRules {
  /** The instance's own backup: rights are kept. */
  own: boolean;
  /** Extensions that can be there. */
  extensions: ReadonlySet<string>;
  /** Ids of entries that their statements rule out, each with the reason. */
  ruledOut: ReadonlyMap<number, string>;
}

/**
 * Leaves out what only a superuser could restore, what belongs to the place that the archive comes from, and what this
 * server does not offer. This is compatibility: safety comes from the role that restores.
 */
export function select(entries: ArchiveEntry[], rules: SelectionRules): Selection {
  const kept: string[] = [];
  const leftOut: string[] = [];
  let rights = 0;
  for (const entry of entries) {
    const reason = refusal(entry, rules);
    if (reason === undefined) kept.push(entry.line);
    else if (reason === RIGHTS) rights += 1;
    else if (reason !== SILENT) leftOut.push(reason === '' ? nameOf(entry) : `${nameOf(entry)} (${reason})`);
  }
  if (rights > 0) leftOut.push(`${rights} grants of rights to roles of the place that the archive comes from`);
  return { list: `${kept.join('\n')}\n`, leftOut };
}

const RIGHTS = 'rights';
/** Their loss changes nothing that a user could miss. */
const SILENT = 'silent';

function refusal({ id, kind, tag }: ArchiveEntry, rules: SelectionRules): string | undefined {
  if (kind === undefined) return 'of an unknown kind';
  if (kind === 'COMMENT' && /^EXTENSION /.test(tag)) return SILENT;
  if (kind === 'SCHEMA' && tag === 'public') return SILENT;
  if (kind === 'EXTENSION' && !rules.extensions.has(tag)) return 'not allowed or not available here';
  if (/ACL$/.test(kind)) return rules.own ? undefined : RIGHTS;
  if (OWN_ONLY.includes(kind)) return rules.own ? undefined : '';
  if (!PLAIN.includes(kind)) return 'only a superuser can restore it';
  return rules.ruledOut.get(id);
}

function nameOf({ kind, schema, tag, line }: ArchiveEntry): string {
  return kind === undefined ? line.replace(/^\S+ \S+ \S+ /, '') : `${kind} ${schema === '' ? '' : `${schema}.`}${tag}`;
}
