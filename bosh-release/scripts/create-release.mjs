import { join } from 'node:path';
import { goTool } from '../../embedded/go-tools.mjs';
import { prepareCheckout } from '../../embedded/prepare.mjs';
import { run } from '../../embedded/run.mjs';
import { createSteps } from '../../embedded/steps.mjs';
import { vendorApplication } from './application.mjs';
import { addBlobs } from './blobs.mjs';
import { RELEASE } from './places.mjs';
import { runStep } from './run-step.mjs';

/** `npm run bosh:release`: from a clean clone to the tarball of a release. */
await runStep(async (signal) => {
  const steps = createSteps();
  await prepareCheckout(steps, signal);
  const bosh = await goTool('bosh', { steps, signal });
  await addBlobs(steps, signal);
  await vendorApplication(steps, signal);
  const tarball = join(RELEASE, 'postgresql-broker.tgz');
  const args = ['create-release', `--dir=${RELEASE}`, '--force', `--tarball=${tarball}`, ...process.argv.slice(2)];
  steps.say(await steps.step('create the release', () => run(bosh, ['--non-interactive', ...args], { signal })));
  steps.say(`upload it with: bosh upload-release ${tarball}`);
});
