import { build, isBuilt } from './build.mjs';
import { install, isInstalled } from './install.mjs';
import { underLock } from './lock.mjs';
import { CHECKOUT_LOCK } from './project.mjs';

/**
 * Installs and builds what is missing. Several of these at once in one checkout go one after the other.
 * @param {import('./steps.mjs').Steps} steps
 * @param {AbortSignal} signal
 */
export async function prepareCheckout(steps, signal) {
  if (isInstalled() && isBuilt()) return;
  const onWait = () => steps.say('another start or test run prepares this checkout: waiting for it');
  await underLock(CHECKOUT_LOCK, onWait, async () => {
    await installMissing(steps, signal);
    if (!isBuilt()) await steps.step('build', () => build(signal));
  });
}

/** @param {import('./steps.mjs').Steps} steps @param {AbortSignal} signal */
export async function prepareTools(steps, signal) {
  if (isInstalled()) return;
  const onWait = () => steps.say('another start or test run prepares this checkout: waiting for it');
  await underLock(CHECKOUT_LOCK, onWait, () => installMissing(steps, signal));
}

/** @param {import('./steps.mjs').Steps} steps @param {AbortSignal} signal */
async function installMissing(steps, signal) {
  if (!isInstalled()) await steps.step('install the packages of package-lock.json', () => install(signal));
}
