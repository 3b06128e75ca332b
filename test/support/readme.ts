import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT } from '../../embedded/project.mjs';

/** The blocks of a language below a heading of the README, in their order. */
export function readmeBlocks(heading: string, language: string): string[] {
  return documentBlocks('README.md', heading, language);
}

/** The same of any document of the project. */
export function documentBlocks(file: string, heading: string, language: string): string[] {
  const text = readFileSync(join(PROJECT, file), 'utf8');
  const section = text.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? '';
  return [...section.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, 'gm'))].map(
    ([, block]) => block ?? '',
  );
}
