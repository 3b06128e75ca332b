import { QueryFailedError } from 'typeorm';
import { type Secret } from '../config/secret.js';
import { BrokerError, StartError } from '../errors.js';

/** Node's and libuv's words for a server that is not there. */
const NETWORK = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ENOENT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'ETIMEDOUT',
]);

/**
 * SQLSTATE of a database that does not serve us now: class 08 connection, 53300 too many connections, 57P0x shutting
 * down or starting, 57014 our statement_timeout, 25P03 our idle_in_transaction_session_timeout, 25006 a standby,
 * 28 refused, 3D000 no such database (PostgreSQL, Appendix A).
 */
const NOT_SERVING = /^(08...|53300|57P0.|57014|25P03|25006|28...|3D000)$/;

/** SQLSTATE serialization_failure and deadlock_detected. */
const SACRIFICED = /^(40001|40P01)$/;

/** OpenSSL's and Node's words for a certificate or a handshake that cannot be accepted. */
const TLS_FAULT = /^(ERR_SSL|ERR_TLS|CERT_|UNABLE_TO|SELF_SIGNED|DEPTH_ZERO|HOSTNAME_MISMATCH)/;

/** What pg says, without any code, of a connection that broke or was not to be had in time. */
const LOST =
  /^(Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error|Client was closed|Cannot use a pool after|The server does not support SSL)/;

/** The state database, and not a server of instances, could not be reached: 503. */
class StateUnreachableError extends BrokerError {
  constructor(cause: unknown) {
    super('server_unreachable', 'the state database cannot be reached', { cause, retryAfter: 5 });
  }
}

/**
 * The error as the callers of the state database see it: `server_unreachable` (503) where the database does not
 * answer, the error itself otherwise. Every query of the data source passes through here.
 */
export function translated(error: unknown): unknown {
  if (error instanceof BrokerError) return error;
  const cause = error instanceof QueryFailedError ? (error.driverError as unknown) : error;
  return isUnreachable(cause) ? new StateUnreachableError(cause) : error;
}

/** Whether an error says that the state database could not be reached. */
export function stateUnreachable(error: unknown): boolean {
  return error instanceof StateUnreachableError;
}

/** Whether the state database gave a transaction up for another one's sake: the same once more can succeed. */
export function sacrificed(error: unknown): boolean {
  const cause = error instanceof QueryFailedError ? (error.driverError as unknown) : error;
  const { code } = (cause ?? {}) as { code?: unknown };
  return typeof code === 'string' && SACRIFICED.test(code);
}

/** The error as who starts the broker sees it: a StartError where the role of that URL may not make what it must. */
export function startFault(error: unknown, stateUrl: Secret): unknown {
  const cause = error instanceof QueryFailedError ? (error.driverError as unknown) : error;
  const { code, message } = cause as { code?: unknown; message?: unknown };
  // insufficient_privilege, and a schema public that is gone.
  if (code !== '42501' && code !== '3F000') return error;
  const { username, pathname } = new URL(stateUrl.reveal());
  const [role, database] = [username, pathname.slice(1)].map(decodeURIComponent);
  return new StartError(
    `the role ${role} of state.url may not make the broker's tables in database ${database} (${String(message)}): ` +
      'it must own the database, and the schema public must be there',
    { cause: error },
  );
}

/** Whether an error is the refusal of a write by that constraint or unique index, by its name. */
export function violates(error: unknown, constraint: string): boolean {
  if (!(error instanceof QueryFailedError)) return false;
  return (error.driverError as { constraint?: unknown }).constraint === constraint;
}

function isUnreachable(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false;
  const { code, message, errors } = error as { code?: unknown; message?: unknown; errors?: unknown };
  // Each address of the host refused on its own.
  if (Array.isArray(errors)) return errors.some(isUnreachable);
  if (typeof code === 'string') return NETWORK.has(code) || NOT_SERVING.test(code) || TLS_FAULT.test(code);
  return typeof message === 'string' && LOST.test(message);
}
