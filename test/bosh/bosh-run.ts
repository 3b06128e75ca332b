/** What run.mjs has made for these tests. */
export interface BoshRun {
  /** The real bosh CLI. */
  readonly bosh: string;
  /** A copy of the release's folder, with blobs and application. */
  readonly release: string;
  /** The release that `bosh create-release` made of it. */
  readonly tarball: string;
  /** Its packages, compiled, each in a folder of its name. */
  readonly packages: string;
  /** Of this run: others may be made in it, and go with it. */
  readonly folder: string;
}

export function boshRun(): BoshRun {
  const announced = process.env['BOSH_TEST_RUN'];
  if (announced === undefined) throw new Error('expected to run by npm run test:bosh');
  return JSON.parse(announced) as BoshRun;
}
