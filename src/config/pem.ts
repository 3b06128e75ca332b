import { X509Certificate, createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** PKCS #8, encrypted or not (RFC 7468), or a form that is named by its algorithm. */
const PRIVATE_KEY = /-----BEGIN ([A-Z]+ )*PRIVATE KEY-----/;

/** Longer than any path (PATH_MAX of Linux). */
const LONGEST_PATH = 4096;

/** PEM text as it is, else the contents of the file that is named. */
export function readPem(textOrPath: string): string {
  if (textOrPath.includes('-----BEGIN ')) return textOrPath;
  if (textOrPath.includes('\n') || textOrPath.length > LONGEST_PATH) throw new Error('neither PEM text nor a path');
  try {
    return readFileSync(textOrPath, 'utf8');
  } catch (error) {
    // It may be the key itself, and the file system's message quotes it.
    throw new Error(`no PEM text, and no file that can be read: ${(error as NodeJS.ErrnoException).code}`);
  }
}

/** Says why the certificates cannot be used, or undefined where they can. */
export function certificateFault(textOrPath: string): string | undefined {
  return faultOf('certificates in PEM form, or the path of a file with them', () => {
    const each = readPem(textOrPath).match(CERTIFICATE) ?? [];
    if (each.length === 0) throw new Error('no certificate in it');
    each.forEach((pem) => new X509Certificate(pem));
  });
}

/** Says why the private key cannot be used, or undefined where it can. */
export function privateKeyFault(textOrPath: string): string | undefined {
  return faultOf('a private key in PEM form, or the path of a file with it', () => {
    const pem = readPem(textOrPath);
    if (!PRIVATE_KEY.test(pem)) throw new Error('no private key in it');
    createPrivateKey(pem);
  });
}

/** Says that the key is not the certificate's; undefined where it is, or where one of them cannot be used at all. */
export function keyPairFault(certificate: string, privateKey: string): string | undefined {
  if (certificateFault(certificate) !== undefined || privateKeyFault(privateKey) !== undefined) return undefined;
  const [leaf] = readPem(certificate).match(CERTIFICATE) ?? [];
  const matches =
    leaf !== undefined && new X509Certificate(leaf).checkPrivateKey(createPrivateKey(readPem(privateKey)));
  return matches ? undefined : 'expected the private key of the certificate';
}

function faultOf(expected: string, check: () => unknown): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    // The messages of OpenSSL name formats, never contents.
    return `expected ${expected}: ${error instanceof Error ? error.message : String(error)}`;
  }
}
