import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createCluster, makeServerFolder } from '../../embedded/cluster.mjs';
import { obtainPostgres } from '../../embedded/obtain-postgres.mjs';
import { makeOwnedFolder } from '../../embedded/owned-folder.mjs';
import { drawPassword } from '../../embedded/scram.mjs';
import { createSteps } from '../../embedded/steps.mjs';

/** Makes the cluster that each test file copies and the folder of all temporary files; what killed runs have left goes. */
export default async function setUp(): Promise<void> {
  const folder = makeOwnedFolder('broker-test-');
  // The server's user passes through; what is inside is its own.
  chmodSync(folder, 0o711);
  process.env['TMPDIR'] = join(folder, 'tmp');
  mkdirSync(process.env['TMPDIR']);
  chmodSync(process.env['TMPDIR'], 0o1777);
  const postgres = await obtainPostgres(process.env, createSteps(), AbortSignal.timeout(300_000));
  const passwords = { postgres: drawPassword(), broker: drawPassword(), state: drawPassword() };
  makeServerFolder(join(folder, 'template'));
  await createCluster(postgres, join(folder, 'template'), passwords, { sync: false });
  process.env['BROKER_TEST_RUN'] = JSON.stringify({ postgres, folder, passwords });
}
