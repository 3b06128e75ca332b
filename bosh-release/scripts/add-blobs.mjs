import { prepareTools } from '../../embedded/prepare.mjs';
import { createSteps } from '../../embedded/steps.mjs';
import { addBlobs } from './blobs.mjs';
import { runStep } from './run-step.mjs';

await runStep(async (signal) => {
  const steps = createSteps();
  await prepareTools(steps, signal);
  await addBlobs(steps, signal);
});
