import { cpSync } from 'node:fs';
import { join, relative } from 'node:path';
import { run } from '../../embedded/run.mjs';
import { vendorApplication } from '../../bosh-release/scripts/application.mjs';
import { addBlobs } from '../../bosh-release/scripts/blobs.mjs';
import { RELEASE } from '../../bosh-release/scripts/places.mjs';

const MADE = /^(blobs|src\/postgres-broker|\.(blobs|dev_builds|final_builds)|dev_releases)(\/|$)|\.tgz$/;

/**
 * A copy of the release's folder with all that a release is made from, so that tests may break it.
 * @param {string} folder @param {import('../../embedded/steps.mjs').Steps} steps @param {AbortSignal} signal
 */
export async function copyRelease(folder, steps, signal) {
  const release = join(folder, 'release');
  cpSync(RELEASE, release, { recursive: true, filter: (source) => !MADE.test(relative(RELEASE, source)) });
  await addBlobs(steps, signal, release);
  await vendorApplication(steps, signal, release);
  return release;
}

/** @param {string} bosh @param {string} release @param {string} tarball @param {AbortSignal} signal */
export function createRelease(bosh, release, tarball, signal) {
  const args = ['create-release', `--dir=${release}`, '--force', '--version=0.0.1', `--tarball=${tarball}`];
  return run(bosh, ['--non-interactive', ...args], { signal });
}
