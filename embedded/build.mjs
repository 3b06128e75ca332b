import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { CACHE, DIST, PROJECT, projectNode } from './project.mjs';
import { run } from './run.mjs';

const STAMP = '.sources';
/** What a build depends on beside src. */
const INPUTS = ['package-lock.json', 'nest-cli.json', 'tsconfig.json', 'tsconfig.build.json'];

/** Whether dist was built from the sources as they are. */
export function isBuilt() {
  try {
    return readFileSync(join(DIST, STAMP), 'utf8') === sourcesDigest();
  } catch {
    return false;
  }
}

/** Builds beside dist and swaps when all is there: a build that fails leaves the last good one. @param {AbortSignal} signal */
export async function build(signal) {
  const digest = sourcesDigest();
  mkdirSync(CACHE, { recursive: true });
  const work = mkdtempSync(join(CACHE, 'build-'));
  try {
    const fresh = join(work, 'dist');
    const project = join(work, 'tsconfig.json');
    writeFileSync(
      project,
      JSON.stringify({ extends: join(PROJECT, 'tsconfig.build.json'), compilerOptions: { outDir: fresh } }),
    );
    const nest = join(PROJECT, 'node_modules', '@nestjs', 'cli', 'bin', 'nest.js');
    await run(projectNode(), [nest, 'build', '--path', relative(PROJECT, project)], { cwd: PROJECT, signal });
    if (!existsSync(join(fresh, 'main.js'))) throw new Error('the build made no main.js');
    writeFileSync(join(fresh, STAMP), digest);
    if (existsSync(DIST)) renameSync(DIST, join(work, 'former'));
    renameSync(fresh, DIST);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function sourcesDigest() {
  const digest = createHash('sha256');
  for (const file of [...INPUTS, ...filesBelow('src')])
    digest
      .update(`${file}\0`)
      .update(readFileSync(join(PROJECT, file)))
      .update('\0');
  return digest.digest('hex');
}

/** @param {string} folder @returns {string[]} */
function filesBelow(folder) {
  return readdirSync(join(PROJECT, folder), { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      return entry.isDirectory() ? filesBelow(path) : entry.name.endsWith('.spec.ts') ? [] : [path];
    })
    .sort();
}
