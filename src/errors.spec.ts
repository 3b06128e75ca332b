import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { STATUS_OF } from './errors.js';

describe('docs/errors.md', () => {
  const rows = readFileSync(join(import.meta.dirname, '../docs/errors.md'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| '));

  it.each(Object.entries(STATUS_OF))('explains %s with its status', (code, status) => {
    const [row] = rows.filter((line) => line.includes(`\`${code}\``));
    expect(row).toMatch(new RegExp(`(^\\| ${status} |, ${status} )`));
  });
});
