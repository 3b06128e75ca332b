import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { goEnvironment, goToolchain } from './go-toolchain.mjs';
import { underLock } from './lock.mjs';
import { PROJECT } from './project.mjs';
import { run } from './run.mjs';
import { userCache } from './user-cache.mjs';

/** What their makers' own builds set beside. @type {Record<string, string>} */
const LINKER_FLAGS = {
  // Plugins ask for a least version of cf.
  cf: '-s -w -X code.cloudfoundry.org/cli/v8/version.binaryVersion=8.18.0',
};

/**
 * A program that the module `tools/NAME` names as its tool, built once for each state of that module.
 * @param {string} name
 * @param {import('./go-toolchain.mjs').Options} [options] `steps`: where a build is announced
 * @returns {Promise<string>} its path; rejects with an error that says what to install
 */
export async function goTool(name, options = {}) {
  const { steps } = options;
  const module = join(PROJECT, 'tools', name);
  const files = ['go.mod', 'go.sum'].map((file) => readFileSync(join(module, file), 'utf8'));
  const [, program = ''] = /^tool (\S+)$/m.exec(files[0] ?? '') ?? [];
  const flags = LINKER_FLAGS[name] ?? '-s -w';
  const key = createHash('sha256')
    .update(JSON.stringify([files, flags]))
    .digest('hex');
  const cache = userCache(`${name}-${key.slice(0, 16)}`);
  const binary = join(cache, name);
  if (existsSync(binary)) return binary;
  const onWait = () => steps?.say(`another test run builds ${name}: waiting for it`);
  await underLock(join(cache, 'lock'), onWait, async () => {
    if (existsSync(binary)) return;
    const toolchain = await goToolchain(options);
    const work = () => build(toolchain, { module, program, flags, cache, binary }, options.signal);
    await (steps ? steps.step(`build ${name}`, work) : work());
  });
  return binary;
}

/**
 * @param {import('./packaged-go.mjs').Go} toolchain
 * @param {{ module: string, program: string, flags: string, cache: string, binary: string }} what
 * @param {AbortSignal} [signal]
 */
async function build(toolchain, { module, program, flags, cache, binary }, signal) {
  const folder = mkdtempSync(join(cache, 'build-'));
  try {
    const output = join(folder, 'program');
    const args = ['build', '-trimpath', '-mod=readonly', `-ldflags=${flags}`, '-o', output, program];
    await run(toolchain.go, args, { cwd: module, env: goEnvironment(toolchain), ...(signal && { signal }) });
    renameSync(output, binary);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
