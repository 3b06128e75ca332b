import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { PROJECT } from '../../embedded/project.mjs';

const FOLDER = join(PROJECT, 'test', 'golden');

/** What differs from run to run, and what stands for it. The order counts. */
const PLACEHOLDERS: [RegExp, string][] = [
  [/\d{8}T\d{6}Z-[0-9a-z]+/g, '<drawn name>'],
  [/\b[0-9a-f]{64}\b/g, '<sha256>'],
  [/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, '<id>'],
  [/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, '<time>'],
  [/\d+(\.\d+)? [KMG]?i?B \(\d+ bytes\)/g, '<size>'],
  [/\d+(\.\d+)? [KMG]?i?B\b/g, '<size>'],
  [/\bnow\b|\d+ (second|minute)s? ago/g, '<age>'],
  [/(outage:\s+)\S+/g, '$1<duration>'],
  [/(lsn:\s+)\S+/g, '$1<position>'],
  [/((server|pg_dump):\s+)\d+\S*( \(.*\))?/g, '$1<version>'],
  [/127\.0\.0\.1:\d+/g, '<address>'],
  // Columns are as wide as what is in them.
  [/(\S) {3,}/g, '$1   '],
];

/**
 * Compares a text with the file of that name in test/golden, apart from what stands for something that differs from
 * run to run. With UPDATE_GOLDEN=1 the file is written anew.
 */
export function expectGolden(name: string, text: string): void {
  const file = join(FOLDER, `${name}.txt`);
  const masked = PLACEHOLDERS.reduce((all, [pattern, placeholder]) => all.replaceAll(pattern, placeholder), text);
  if (process.env['UPDATE_GOLDEN'] === '1') {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, masked);
  }
  expect(masked).toBe(readFileSync(file, 'utf8'));
}
