import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { type PeerCertificate, connect } from 'node:tls';
import { keepSecret } from './run-log.js';

export interface CertificatePair {
  certificate: string;
  privateKey: string;
}

/** A self-signed certificate for localhost and 127.0.0.1 (RFC 5280, ECDSA P-256), valid from 2020 to 2049. */
export function drawCertificate(commonName: string): CertificatePair {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const algorithm = sequence(oid(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02));
  const name = sequence(der(0x31, sequence(oid(0x55, 0x04, 0x03), der(0x0c, Buffer.from(commonName)))));
  const alternatives = sequence(der(0x82, Buffer.from('localhost')), der(0x87, Buffer.from([127, 0, 0, 1])));
  const content = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    algorithm,
    name,
    sequence(der(0x17, Buffer.from('200101000000Z')), der(0x17, Buffer.from('491231235959Z'))),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(sequence(oid(0x55, 0x1d, 0x11), der(0x04, alternatives)))),
  );
  const signature = sign('sha256', content, privateKey);
  const certificate = sequence(content, algorithm, der(0x03, Buffer.concat([Buffer.from([0]), signature])));
  const pemKey = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  // The first line is the same for all keys of the curve.
  keepSecret(pemKey.split('\n')[2] ?? '');
  return { certificate: pem('CERTIFICATE', certificate), privateKey: pemKey };
}

/** The common name of the certificate that is served there. */
export function servedName(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1', rejectUnauthorized: false });
    socket.once('error', reject).once('secureConnect', () => {
      const { subject }: PeerCertificate = socket.getPeerCertificate();
      resolve(String(subject.CN));
      socket.destroy();
    });
  });
}

function der(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

function sequence(...parts: Buffer[]): Buffer {
  return der(0x30, Buffer.concat(parts));
}

function oid(...bytes: number[]): Buffer {
  return der(0x06, Buffer.from(bytes));
}

function pem(label: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
