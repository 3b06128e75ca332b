import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT } from '../../embedded/project.mjs';

/** The blocks of a language below a heading of the README, in their order. */
export function readmeBlocks(heading: string, language: string): string[] {
  const readme = readFileSync(join(PROJECT, 'README.md'), 'utf8');
  const section = readme.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? '';
  return [...section.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, 'gm'))].map(
    ([, block]) => block ?? '',
  );
}
