import pg from 'pg';

/** A name as SQL. */
export const ident = (name: string): string => pg.escapeIdentifier(name);

/** A text as SQL. */
export const literal = (text: string): string => pg.escapeLiteral(text);

/** Statements sent as one: one round trip and, where each of them allows it, one transaction. */
export const together = (...statements: (string | false | undefined)[]): string =>
  statements.filter((statement) => typeof statement === 'string').join(';\n');
