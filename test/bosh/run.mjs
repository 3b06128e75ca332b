import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { check, add } from '../../embedded/checks.mjs';
import { goTool } from '../../embedded/go-tools.mjs';
import { makeOwnedFolder } from '../../embedded/owned-folder.mjs';
import { runJest } from '../../embedded/jest.mjs';
import { prepareCheckout } from '../../embedded/prepare.mjs';
import { ProgramError } from '../../embedded/run.mjs';
import { createSteps } from '../../embedded/steps.mjs';
import { copyRelease, createRelease } from './make-release.mjs';
import { compilePackages } from './compile.mjs';
import { installSystemPackages } from './system-packages.mjs';

/** Far beyond what it takes where PostgreSQL has yet to be compiled: something hangs. */
const TIME_LIMIT = 60 * 60_000;

const steps = createSteps();
const asked = new AbortController();
for (const name of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) process.on(name, () => asked.abort());
const signal = AbortSignal.any([asked.signal, AbortSignal.timeout(TIME_LIMIT)]);

/** `npm run test:bosh`: the release is made, compiled and lived. @param {string[]} args name the files to narrow it to @param {string} folder */
async function test(args, folder) {
  await prepareCheckout(steps, signal);
  await installSystemPackages(steps, signal);
  const bosh = await goTool('bosh', { steps, signal });
  const release = await copyRelease(folder, steps, signal);
  const tarball = join(folder, 'release.tgz');
  const tally = await check('create-release', () => createRelease(bosh, release, tarball, signal));
  const packages = join(folder, 'packages');
  add(tally, await check('packaging', () => compilePackages(tarball, folder, packages, steps, signal)));
  if (tally.failed > 0) return tally;
  process.env['BOSH_TEST_RUN'] = JSON.stringify({ bosh, release, tarball, packages, folder });
  return add(tally, await runJest(args, signal, { config: 'test/bosh/jest.config.mjs' }));
}

const folder = makeOwnedFolder('bosh-test-');
try {
  const { passed, failed } = await test(process.argv.slice(2), folder);
  if (signal.aborted) process.stdout.write(asked.signal.aborted ? '\nstopped\n' : '\nstopped: its time is over\n');
  process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
  process.exitCode = failed === 0 && !signal.aborted ? 0 : 1;
} catch (error) {
  if (error instanceof ProgramError) process.stdout.write(`${error.output}\n`);
  process.stdout.write(`${String(error)}\n\n0 passed, 1 failed\n`);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exit();
