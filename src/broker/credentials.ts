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
 * both URLs too, since no library reads it beside them.
 */
export function credentials(endpoint: Endpoint, database: string, username: string, password: string): Credentials {
  const { port, sslmode } = endpoint;
  const authority = `${inUrl(endpoint.host)}:${port}`;
  const login = { user: username, password, sslmode };
  return {
    uri: `postgresql://${encodeURIComponent(username)}:${encodeURIComponent(password)}@${authority}/${encodeURIComponent(database)}?${new URLSearchParams({ sslmode }).toString()}`,
    jdbcUrl: `jdbc:postgresql://${authority}/${encodeURIComponent(database)}?${new URLSearchParams(login).toString()}`,
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

/** An IPv6 address stands in brackets there (RFC 3986, section 3.2.2). */
function inUrl(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}
