import { createSecureContext } from 'node:tls';
import { type Server } from 'node:https';
import { type BrokerConfig } from '../config/schema.js';
import { readPem } from '../config/pem.js';

type TlsConfig = NonNullable<BrokerConfig['http']['tls']>;

/** Certificate and key as they are now: files are read anew. */
export function readTls(tls: TlsConfig): { cert: string; key: string; minVersion: 'TLSv1.2' } {
  return { cert: readPem(tls.certificate), key: readPem(tls.private_key.reveal()), minVersion: 'TLSv1.2' };
}

/**
 * New connections use what the files hold now; those that stand go on.
 * @throws what Node says where certificate and key cannot be used: the former ones stay
 */
export function reloadTls(server: Server, tls: TlsConfig): void {
  const fresh = readTls(tls);
  createSecureContext(fresh);
  server.setSecureContext(fresh);
}
