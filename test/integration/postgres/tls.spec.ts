import { chown, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CertificatePair, drawCertificate } from '../../support/certificate.js';
import { type Cluster, startCluster } from '../../support/cluster.js';
import { sql } from '../../support/sql.js';
import { until } from '../../support/until.js';
import { estateOn } from './estate.js';

describe('TLS to a server', () => {
  let cluster: Cluster;
  let pair: CertificatePair;
  let stranger: CertificatePair;
  beforeAll(async () => {
    cluster = await startCluster();
    pair = drawCertificate('server');
    stranger = drawCertificate('server');
  });
  afterAll(() => cluster.remove());

  /** Whether the broker's session is encrypted; undefined where there is none. */
  const encrypted = async (more: { sslmode?: string; ca?: string }) => {
    const { servers } = estateOn(cluster, more);
    try {
      const [health] = await servers.health();
      if (health?.reachable !== true) return undefined;
      const rows = await sql(
        cluster.superuserUrl(),
        `SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = $1`,
        [new URL(cluster.brokerUrl()).username],
      );
      return rows[0]?.['ssl'];
    } finally {
      await servers.close();
    }
  };

  it.each([
    ['disable', false],
    ['prefer', false],
    ['require', undefined],
    ['verify-ca', undefined],
    ['verify-full', undefined],
  ])('%s on a server without it', async (sslmode, expected) => {
    expect(await encrypted({ sslmode, ca: pair.certificate })).toBe(expected);
  });

  describe('on a server that has it', () => {
    let caFile: string;
    beforeAll(async () => {
      const data = join(cluster.dir, 'data');
      const { uid, gid } = await stat(data);
      const files = { 'server.crt': pair.certificate, 'server.key': pair.privateKey };
      for (const [name, text] of Object.entries(files)) {
        await writeFile(join(data, name), text, { mode: 0o600 });
        await chown(join(data, name), uid, gid);
      }
      caFile = join(cluster.dir, 'ca.pem');
      await writeFile(caFile, pair.certificate);
      await sql(cluster.superuserUrl(), 'ALTER SYSTEM SET ssl = on');
      await sql(cluster.superuserUrl(), 'SELECT pg_reload_conf()');
      await until('TLS', () => encrypted({ sslmode: 'require' }));
    });

    it.each([
      ['disable', {}, false],
      ['prefer', {}, true],
      ['require', {}, true],
      ['verify-ca', { trusted: 'own' }, true],
      ['verify-ca', { trusted: 'foreign' }, undefined],
      ['verify-full', { trusted: 'own' }, true],
      ['verify-full', { trusted: 'foreign' }, undefined],
      ['require', { trusted: 'foreign' }, undefined],
    ] as const)('%s %j', async (sslmode, { trusted }: { trusted?: string }, expected) => {
      const ca = trusted === undefined ? undefined : trusted === 'own' ? pair.certificate : stranger.certificate;
      expect(await encrypted({ sslmode, ...(ca !== undefined && { ca }) })).toBe(expected);
    });

    it('without sslmode: prefer, and verify-full where a CA is named, by text or by file', async () => {
      expect(await encrypted({})).toBe(true);
      expect(await encrypted({ ca: caFile })).toBe(true);
      expect(await encrypted({ ca: stranger.certificate })).toBeUndefined();
    });

    it('what is handed out to applications is what the broker itself uses', () => {
      const { host, port } = cluster;
      expect(estateOn(cluster).servers.endpoint('default')).toEqual({ host, port, sslmode: 'prefer' });
      expect(
        estateOn(cluster, { ca: caFile, public_host: 'db.example', public_port: 6432 }).servers.endpoint('default'),
      ).toEqual({ host: 'db.example', port: 6432, sslmode: 'verify-full', ca: pair.certificate });
    });
  });
});
