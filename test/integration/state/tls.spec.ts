import { chown, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CertificatePair, drawCertificate } from '../../support/certificate.js';
import { type Cluster, startCluster } from '../../support/cluster.js';
import { buildNode } from '../../support/operations-node.js';
import { sql } from '../../support/sql.js';
import { until } from '../../support/until.js';

const pair = drawCertificate('the state database');
const stranger = drawCertificate('a stranger');
let cluster: Cluster;

beforeAll(async () => {
  cluster = await startCluster();
});

afterAll(async () => {
  await cluster.remove();
});

/** Whether the connection is encrypted; undefined where none comes about within the limit. */
async function encrypted(sslmode: string | undefined, ca: string | undefined, limitMs: number): Promise<unknown> {
  const url = new URL(cluster.stateUrl());
  if (sslmode !== undefined) url.searchParams.set('sslmode', sslmode);
  const node = await buildNode({ stateUrl: url.href, ...(ca !== undefined && { stateCa: ca }) });
  try {
    await node.state.connect(AbortSignal.timeout(limitMs));
    const rows = await node.dataSource.query<[{ ssl: boolean }]>(
      'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()',
    );
    return rows[0].ssl;
  } catch {
    return undefined;
  } finally {
    await node.stop();
  }
}

async function expectEncrypted(expected: boolean | undefined, sslmode?: string, ca?: string): Promise<void> {
  expect(await encrypted(sslmode, ca, expected === undefined ? 500 : 60_000)).toBe(expected);
}

it('goes without TLS where the server has none, unless it is required', async () => {
  await expectEncrypted(false);
  await expectEncrypted(false, 'disable');
  await expectEncrypted(undefined, 'require');
  await expectEncrypted(undefined, undefined, pair.certificate);
});

describe('on a server that has it', () => {
  let caFile: string;

  beforeAll(async () => {
    caFile = await useCertificate(pair);
    await until('TLS', () => encrypted('require', undefined, 500));
  });

  it.each([
    [undefined, undefined, true],
    ['disable', undefined, false],
    ['prefer', undefined, true],
    ['verify-ca', 'own', true],
    ['verify-ca', 'foreign', undefined],
    ['verify-full', 'own', true],
    ['verify-full', undefined, undefined],
    [undefined, 'own', true],
    [undefined, 'foreign', undefined],
    ['require', 'foreign', undefined],
  ])('sslmode %s with the %s CA', async (sslmode, ca, expected) => {
    const text = ca === undefined ? undefined : ca === 'own' ? pair.certificate : stranger.certificate;
    await expectEncrypted(expected, sslmode, text);
  });

  it('takes the CA from a file', async () => {
    await expectEncrypted(true, 'verify-full', caFile);
  });
});

async function useCertificate({ certificate, privateKey }: CertificatePair): Promise<string> {
  const data = join(cluster.dir, 'data');
  const { uid, gid } = await stat(data);
  for (const [name, text] of Object.entries({ 'server.crt': certificate, 'server.key': privateKey })) {
    await writeFile(join(data, name), text, { mode: 0o600 });
    await chown(join(data, name), uid, gid);
  }
  const file = join(cluster.dir, 'ca.pem');
  await writeFile(file, certificate);
  await sql(cluster.superuserUrl(), 'ALTER SYSTEM SET ssl = on');
  await sql(cluster.superuserUrl(), 'SELECT pg_reload_conf()');
  return file;
}
