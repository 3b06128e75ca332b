import { once } from 'node:events';
import { Socket } from 'node:net';
import pg from 'pg';
import { type ConnectionTarget } from './connection-target.js';
import { whileAnswering } from './liveness.js';
import { QUICK_MS, Session } from './session.js';

/**
 * Goes before every setting of database or role. The search path holds nothing of a tenant; what runs for a client
 * that died ends within a second.
 */
const SETTINGS = {
  search_path: 'pg_catalog',
  lock_timeout: '5s',
  statement_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  idle_session_timeout: '0',
  default_transaction_read_only: 'off',
  client_connection_check_interval: '1s',
  client_min_messages: 'error',
};

const OPTIONS = Object.entries(SETTINGS)
  .map(([name, value]) => `-c ${name}=${value}`)
  .join(' ');

/** Opens sessions on one server as one role. */
export class Connector {
  /** The server has no TLS. Remembered, since asking costs a connection; forgotten when a connection fails. */
  #plain = false;

  constructor(
    readonly target: ConnectionTarget,
    private readonly applicationName: string,
  ) {}

  /** With TLS as libpq reads sslmode: `prefer` goes on without it where the server has none. */
  async open(database: string, signal?: AbortSignal): Promise<Session> {
    const { host, sslmode } = this.target;
    // As of now: another connection may find out meanwhile.
    const plain = host.startsWith('/') || sslmode === 'disable' || this.#plain;
    try {
      return await this.#connect(database, plain ? false : this.#tls(), signal);
    } catch (error) {
      const fallBack = !plain && sslmode === 'prefer' && refusesTls(error);
      this.#plain = false;
      if (!fallBack) throw error;
    }
    const session = await this.#connect(database, false, signal);
    this.#plain = true;
    return session;
  }

  #tls(): pg.ClientConfig['ssl'] {
    const { sslmode, ca } = this.target;
    if (sslmode === 'verify-full') return { ca };
    const verified = sslmode === 'verify-ca' || (sslmode === 'require' && ca !== undefined);
    return verified ? { ca, checkServerIdentity: () => undefined } : { rejectUnauthorized: false };
  }

  async #connect(database: string, ssl: pg.ClientConfig['ssl'], signal?: AbortSignal): Promise<Session> {
    signal?.throwIfAborted();
    const { host, port, user, password } = this.target;
    const socket = new Socket();
    const client = new pg.Client({
      ...{ host, port, user, password, database, ssl },
      application_name: this.applicationName,
      options: OPTIONS,
      keepAlive: true,
      stream: () => socket,
    });
    const session = new Session(client, socket, this.target);
    const abort = () => socket.destroy();
    signal?.addEventListener('abort', abort, { once: true });
    try {
      await whileAnswering(this.target, client.connect(), QUICK_MS);
      return session;
    } catch (error) {
      socket.destroy();
      if (!socket.closed) await once(socket, 'close').catch(() => undefined);
      signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }
}

/** By SQLSTATE where the server's access rules want no TLS, by the driver's text where it has none. */
function refusesTls(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown };
  return code === '28000' || message === 'The server does not support SSL connections';
}
