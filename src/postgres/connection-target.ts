import { readPem } from '../config/pem.js';
import { type Secret } from '../config/secret.js';
import { type ServerConfig } from '../config/schema.js';

type SslMode = 'disable' | 'prefer' | 'require' | 'verify-ca' | 'verify-full';

/** Where a server is and how it is entered; the URL of the configuration taken apart. */
export interface ConnectionTarget {
  /** A folder means its unix socket. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  /** The database in which roles and databases are made. */
  readonly database: string;
  readonly sslmode: SslMode;
  /** PEM text. */
  readonly ca?: string;
}

/** What the credentials of bindings say about a server. */
export interface ServerEndpoint {
  host: string;
  port: number;
  sslmode: SslMode;
  /** PEM text. */
  ca?: string;
}

const SSL_MODES: readonly string[] = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full'];

/** `servers[].sslmode` goes before the URL's own; without either `prefer`, and `verify-full` where a CA is named. */
export function connectionTarget(server: ServerConfig, url: Secret = server.url): ConnectionTarget {
  const parsed = new URL(url.reveal());
  const ca = server.ca === undefined ? undefined : readPem(server.ca);
  const asked = server.sslmode ?? parsed.searchParams.get('sslmode');
  const user = decodeURIComponent(parsed.username) || 'postgres';
  return {
    host: parsed.searchParams.get('host') ?? hostOf(parsed),
    port: Number(parsed.port) || 5432,
    user,
    password: decodeURIComponent(parsed.password),
    database: decodeURIComponent(parsed.pathname.slice(1)) || user,
    sslmode: isSslMode(asked) ? asked : ca === undefined ? 'prefer' : 'verify-full',
    ...(ca !== undefined && { ca }),
  };
}

export function serverEndpoint(server: ServerConfig): ServerEndpoint {
  const { host, port, sslmode, ca } = connectionTarget(server);
  return {
    host: server.public_host ?? (host.startsWith('/') ? hostOf(new URL(server.url.reveal())) : host),
    port: server.public_port ?? port,
    sslmode,
    ...(ca !== undefined && { ca }),
  };
}

function hostOf(url: URL): string {
  return url.hostname.replace(/^\[(.+)\]$/, '$1') || 'localhost';
}

function isSslMode(text: string | null): text is SslMode {
  return text !== null && SSL_MODES.includes(text);
}
