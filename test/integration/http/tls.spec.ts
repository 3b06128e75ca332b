import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type Server } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Secret } from '../../../src/config/secret.js';
import { reloadTls } from '../../../src/http/tls.js';
import { drawCertificate, servedName } from '../../support/certificate.js';
import { startSmallApp } from './small-app.js';

const folder = mkdtempSync(join(tmpdir(), 'broker-tls-'));
const files = { certificate: join(folder, 'certificate.pem'), private_key: join(folder, 'key.pem') };
const tls = { certificate: files.certificate, private_key: new Secret(files.private_key) };

afterAll(() => rmSync(folder, { recursive: true }));

function put(pair: { certificate: string; privateKey: string }): void {
  writeFileSync(files.certificate, pair.certificate);
  writeFileSync(files.private_key, pair.privateKey);
}

it('serves TLS, takes a renewed certificate into use, and keeps the former one when the new one is broken', async () => {
  put(drawCertificate('first'));
  const small = await startSmallApp({ tls: files });
  try {
    const server = small.app.getHttpServer() as unknown as Server;
    expect(small.url).toMatch(/^https:/);
    expect(await servedName(small.url)).toBe('first');
    put(drawCertificate('second'));
    expect(reloadTls(server, tls)).toBeUndefined();
    expect(await servedName(small.url)).toBe('second');
    writeFileSync(files.certificate, 'no certificate');
    expect(reloadTls(server, tls)).toMatch(/^http\.tls\.certificate: expected .*: no certificate in it$/);
    put({ ...drawCertificate('third'), privateKey: 'hidden' });
    expect(reloadTls(server, tls)).toMatch(/^http\.tls\.private_key: expected .*: no private key in it$/);
    put({ ...drawCertificate('third'), privateKey: '-----BEGIN PRIVATE KEY-----\nhidden\n-----END PRIVATE KEY-----' });
    expect(reloadTls(server, tls)).toMatch(/^http\.tls\.private_key: expected a private key in PEM form(?!.*hidden)/);
    put({ ...drawCertificate('third'), privateKey: drawCertificate('fourth').privateKey });
    expect(reloadTls(server, tls)).toBe('http.tls.private_key: expected the private key of the certificate');
    rmSync(files.private_key);
    expect(reloadTls(server, tls)).toMatch(/^http\.tls\.private_key: .*no file that can be read: ENOENT$/);
    expect(await servedName(small.url)).toBe('second');
  } finally {
    await small.app.close();
  }
});

it('takes the PEM text itself', async () => {
  const { certificate, privateKey } = drawCertificate('text');
  const small = await startSmallApp({ tls: { certificate, private_key: privateKey } });
  try {
    expect(await servedName(small.url)).toBe('text');
  } finally {
    await small.app.close();
  }
});
