import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What is shorter may be in a log by chance. */
export const SHORTEST_SECRET = 12;

/**
 * The logged lines of a run of the tests (`logs` in its folder) that hold a secret of it (`secrets`), in whatever
 * spelling; the secrets in them are masked.
 * @param {string} folder @returns {string[]}
 */
export function leakingLines(folder) {
  const secrets = readLines(join(folder, 'secrets')).map((line) => String(JSON.parse(line)));
  const byStart = grouped(new Set(secrets.flatMap(spellings)));
  return readLines(join(folder, 'logs')).flatMap((line) => {
    const found = secretsIn(line, byStart);
    return found.length === 0 ? [] : [masked(line, found).slice(0, 600)];
  });
}

/** Thousands of texts are looked for in many lines: by their first characters, at every place of a line.
 * @param {Set<string>} secrets @returns {Map<string, string[]>} */
function grouped(secrets) {
  const byStart = /** @type {Map<string, string[]>} */ (new Map());
  for (const secret of secrets) {
    const start = secret.slice(0, SHORTEST_SECRET);
    byStart.set(start, [...(byStart.get(start) ?? []), secret]);
  }
  return byStart;
}

/** @param {string} line @param {Map<string, string[]>} byStart @returns {string[]} */
function secretsIn(line, byStart) {
  const found = /** @type {string[]} */ ([]);
  for (let at = 0; at + SHORTEST_SECRET <= line.length; at += 1)
    for (const secret of byStart.get(line.slice(at, at + SHORTEST_SECRET)) ?? [])
      if (line.startsWith(secret, at)) found.push(secret);
  return found;
}

/** The longer ones first, so that nothing of them stays. @param {string} line @param {string[]} secrets */
function masked(line, secrets) {
  return secrets
    .toSorted((a, b) => b.length - a.length)
    .reduce((text, secret) => text.replaceAll(secret, '*****'), line);
}

/** @param {string} secret @returns {string[]} as it is, in a URL, in JSON */
function spellings(secret) {
  return [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)];
}

/** @param {string} folder @returns {string[]} of all its files */
function readLines(folder) {
  if (!existsSync(folder)) return [];
  const texts = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8'));
  return texts.flatMap((text) => text.split('\n').filter((line) => line !== ''));
}
