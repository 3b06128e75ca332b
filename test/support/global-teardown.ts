import { rmSync } from 'node:fs';
import { leakingLines } from './leaking-lines.mjs';

/** Fails the run when a broker that its tests have started logged a password, key or token of it. */
export default function tearDown(): void {
  const announced = process.env['BROKER_TEST_RUN'];
  if (announced === undefined) return;
  const { folder } = JSON.parse(announced) as { folder: string };
  try {
    assertNothingLeaked(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function assertNothingLeaked(folder: string): void {
  const leaking = leakingLines(folder);
  if (leaking.length === 0) return;
  const some = leaking.slice(0, 20).join('\n');
  throw new Error(`${leaking.length} lines in the logs of this run's brokers hold a secret:\n${some}`);
}
