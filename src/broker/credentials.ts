export interface Endpoint {
  host: string;
  port: number;
  sslmode: string;
  /** PEM text of the certificate authority, where TLS is verified by one. */
  ca?: string | undefined;
}

export interface Credentials {
  uri: string;
  jdbcUrl: string;
  hostname: string;
  host: string;
  port: number;
  name: string;
  database: string;
  dbname: string;
  username: string;
  password: string;
  sslmode: string;
  sslrootcert?: string;
}

/**
 * The credentials of a binding, under every key that the known client libraries look for. `sslmode` stands inside
 * both URLs too, since no library reads it beside them; but for `prefer`, which libpq and the JDBC driver assume
 * anyway, and which node-postgres takes for `verify-full`.
 */
export function credentials(endpoint: Endpoint, database: string, username: string, password: string): Credentials {
  const { port, sslmode } = endpoint;
  const place = `${inUrl(endpoint.host)}:${port}/${encodeURIComponent(database)}`;
  const login = `${encodeURIComponent(username)}:${encodeURIComponent(password)}`;
  const tls = sslmode === 'prefer' ? {} : { sslmode };
  return {
    uri: withQuery(`postgresql://${login}@${place}`, tls),
    jdbcUrl: withQuery(`jdbc:postgresql://${place}`, { user: username, password, ...tls }),
    hostname: endpoint.host,
    host: endpoint.host,
    port,
    name: database,
    database,
    dbname: database,
    username,
    password,
    sslmode,
    ...(endpoint.ca !== undefined && { sslrootcert: endpoint.ca }),
  };
}

/** The network addresses that an application needs to reach (OSB 2.17, Endpoint Object). */
export function endpoints({ host, port }: Endpoint): { host: string; ports: string[]; protocol: 'tcp' }[] {
  return [{ host, ports: [String(port)], protocol: 'tcp' }];
}

function withQuery(url: string, query: Record<string, string>): string {
  const text = new URLSearchParams(query).toString();
  return text === '' ? url : `${url}?${text}`;
}

/** An IPv6 address stands in brackets there (RFC 3986, section 3.2.2). */
function inUrl(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}
