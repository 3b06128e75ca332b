/** The names by which one service instance is known on its server (all random and opaque). */
export interface TenantNames {
  /** Name of the configured server. */
  server: string;
  database: string;
  /** NOLOGIN, owns every object. */
  ownerRole: string;
  /** NOLOGIN NOINHERIT, in ownerRole; holds CONNECT for the read-write bindings. */
  connectRole: string;
  /** NOLOGIN; holds CONNECT, USAGE and SELECT for the read-only bindings. Not in ownerRole. */
  readerRole: string;
}

/** What a plan allows. An absent limit is the server's default. */
export interface TenantLimits {
  /** Concurrent connections of the applications: on each binding role, and with 3 more on the database. */
  connections?: number | undefined;
  statementTimeoutMs?: number | undefined;
  idleInTransactionTimeoutMs?: number | undefined;
  /** Applied where the server lets the broker set it (GRANT SET ON PARAMETER temp_file_limit). */
  tempFileLimitBytes?: number | undefined;
}

export interface BindingRole {
  role: string;
  access: 'read-write' | 'read-only';
}
