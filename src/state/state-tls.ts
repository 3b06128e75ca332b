import { type TlsOptions } from 'node:tls';
import { readPem } from '../config/pem.js';
import { type BrokerConfig } from '../config/schema.js';

const SSL_MODES = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;
type SslMode = (typeof SSL_MODES)[number];

export interface StateAddress {
  /** Without `sslmode`: the driver would read it in its own way. */
  url: string;
  ssl: false | (TlsOptions & { checkServerIdentity?: () => undefined });
}

/**
 * Where the state database is, and TLS as libpq reads the URL's `sslmode`; without one `prefer`, and `verify-full`
 * where a CA is configured.
 */
export function stateAddress(config: BrokerConfig['state']): StateAddress {
  const url = new URL(config.url.reveal());
  url.searchParams.delete('sslmode');
  const ca = config.ca === undefined ? undefined : readPem(config.ca);
  return { url: url.href, ssl: tls(modeOf(config), ca) };
}

/** Whether a refused TLS connection is to be followed by a plain one. */
export function prefersTls(config: BrokerConfig['state']): boolean {
  return modeOf(config) === 'prefer';
}

/** Whether the server has no TLS, or wants none from here (its pg_hba.conf has `hostnossl` only). */
export function refusesTls(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown };
  return code === '28000' || message === 'The server does not support SSL connections';
}

function modeOf({ url, ca }: BrokerConfig['state']): SslMode {
  const asked = new URL(url.reveal()).searchParams.get('sslmode');
  return SSL_MODES.find((mode) => mode === asked) ?? (ca === undefined ? 'prefer' : 'verify-full');
}

function tls(mode: SslMode, ca: string | undefined): StateAddress['ssl'] {
  const trusted = ca === undefined ? {} : { ca };
  const anyName = { checkServerIdentity: () => undefined };
  switch (mode) {
    case 'disable':
      return false;
    case 'prefer':
      return { rejectUnauthorized: false };
    case 'require':
      return ca === undefined ? { rejectUnauthorized: false } : { ca, ...anyName };
    case 'verify-ca':
      return { rejectUnauthorized: true, ...trusted, ...anyName };
    case 'verify-full':
      return { rejectUnauthorized: true, ...trusted };
  }
}
