import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCluster, makeServerFolder } from '../../embedded/cluster.mjs';
import { isAlive, thisProcess } from '../../embedded/process-mark.mjs';
import { obtainPostgres } from '../../embedded/obtain-postgres.mjs';
import { drawPassword } from '../../embedded/scram.mjs';
import { createSteps } from '../../embedded/steps.mjs';

const PREFIX = 'broker-test-';

/** Makes the cluster that each test file copies, and clears away what killed runs have left. */
export default async function setUp(): Promise<void> {
  sweep();
  const folder = mkdtempSync(join(tmpdir(), PREFIX));
  writeFileSync(join(folder, 'owner'), JSON.stringify(thisProcess()));
  // The server's user passes through; what is inside is its own.
  chmodSync(folder, 0o711);
  const postgres = await obtainPostgres(process.env, createSteps(), AbortSignal.timeout(300_000));
  const passwords = { postgres: drawPassword(), broker: drawPassword(), state: drawPassword() };
  makeServerFolder(join(folder, 'template'));
  await createCluster(postgres, join(folder, 'template'), passwords, { sync: false });
  process.env['BROKER_TEST_RUN'] = JSON.stringify({ postgres, folder, passwords });
}

function sweep(): void {
  for (const name of readdirSync(tmpdir()).filter((entry) => entry.startsWith(PREFIX))) {
    const folder = join(tmpdir(), name);
    try {
      if (!isAlive(JSON.parse(readFileSync(join(folder, 'owner'), 'utf8'))))
        rmSync(folder, { recursive: true, force: true });
    } catch {
      // Another run's that is only just being made, or another user's.
    }
  }
}
