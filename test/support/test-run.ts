import { type ClusterPasswords } from '../../embedded/cluster.mjs';
import { type Postgres } from '../../embedded/find-postgres.mjs';

/** What the global set-up made for this run of the tests. */
export interface TestRun {
  readonly postgres: Postgres;
  /** Holds `template/data`, a stopped cluster, and the clusters of the test files. */
  readonly folder: string;
  readonly passwords: ClusterPasswords;
}

/** The global set-up hands the run to the processes of the test files by the environment, which they inherit. */
export function testRun(): TestRun {
  const announced = process.env['BROKER_TEST_RUN'];
  if (announced === undefined) throw new Error('expected to run under jest with its global set-up');
  return JSON.parse(announced) as TestRun;
}
