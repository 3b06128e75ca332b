import { createSecureContext } from 'node:tls';
import { type Server } from 'node:https';
import { type BrokerConfig } from '../config/schema.js';
import { certificateFault, keyPairFault, privateKeyFault, readPem } from '../config/pem.js';

type TlsConfig = NonNullable<BrokerConfig['http']['tls']>;

/** Certificate and key as they are now: files are read anew. */
export function readTls(tls: TlsConfig): { cert: string; key: string; minVersion: 'TLSv1.2' } {
  return { cert: readPem(tls.certificate), key: readPem(tls.private_key.reveal()), minVersion: 'TLSv1.2' };
}

/**
 * New connections use what the files hold now; those that stand go on. Says which setting cannot be used and why, and
 * the former certificate and key stay; undefined where the new ones are in use.
 */
export function reloadTls(server: Server, tls: TlsConfig): string | undefined {
  const fault = settingFault(tls);
  if (fault !== undefined) return fault;
  try {
    const fresh = readTls(tls);
    createSecureContext(fresh);
    server.setSecureContext(fresh);
    return undefined;
  } catch (error) {
    return `http.tls: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function settingFault({ certificate, private_key }: TlsConfig): string | undefined {
  const key = private_key.reveal();
  const ofCertificate = certificateFault(certificate);
  if (ofCertificate !== undefined) return `http.tls.certificate: ${ofCertificate}`;
  const ofKey = privateKeyFault(key) ?? keyPairFault(certificate, key);
  return ofKey === undefined ? undefined : `http.tls.private_key: ${ofKey}`;
}
