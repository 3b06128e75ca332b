import { BrokerError } from '../errors.js';

/** The server gave no sign of life for longer than a living one needs. */
export class SilenceError extends Error {
  override readonly name = 'SilenceError';
}

/** A statement took longer than it may, on a server that lives. */
export class SlowError extends Error {
  override readonly name = 'SlowError';
}

const RETRY_AFTER_S = 5;

/** Node's codes, and those texts of the driver that stand for a lost connection. */
const LOST =
  /^(ECONN|EPIPE|ETIMEDOUT|EHOST|ENET|ENOTFOUND|EAI_|ENOENT|EACCES|EADDRNOTAVAIL|ERR_SSL|ERR_TLS|CERT_|UNABLE_TO|SELF_SIGNED|DEPTH_ZERO|HOSTNAME_MISMATCH)/;
const UNTRUSTED = /^(CERT_|UNABLE_TO|SELF_SIGNED|DEPTH_ZERO|HOSTNAME_MISMATCH|ERR_TLS_CERT)/;
const LOST_TEXT = /^(Connection terminated|Client has encountered|Client was closed|The server does not support SSL)/;

/** SQLSTATE of a server's error, else Node's code, else an empty text. */
export function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === 'string' ? code : '';
}

function messageOf(error: unknown): string {
  const message = (error as { message?: unknown } | null | undefined)?.message;
  return typeof message === 'string' ? message : '';
}

/** Whether the server could not be entered at all, or was lost (as opposed to: answered with an error). */
export function isLost(error: unknown): boolean {
  if (error instanceof SilenceError) return true;
  const code = codeOf(error);
  return code === '' ? LOST_TEXT.test(messageOf(error)) : LOST.test(code) || /^(08|57P0[1-4])/.test(code);
}

/** Writers of one catalog row at the same time: PostgreSQL refuses the later one, and a new try succeeds. */
export function isCollision(error: unknown): boolean {
  const code = codeOf(error);
  if (code === '40001' || code === '40P01') return true;
  return code === 'XX000' && /tuple concurrently (updated|deleted)/.test(messageOf(error));
}

/**
 * Any error of a server as its caller may see it. What is not known passes through as it is (and is answered as an
 * internal error with a fixed text).
 */
export function serverFault(server: string, error: unknown): unknown {
  if (error instanceof BrokerError) return error;
  const fault = (message: string) =>
    new BrokerError('server_unreachable', message, { cause: error, retryAfter: RETRY_AFTER_S });
  const code = codeOf(error);
  if (error instanceof SilenceError) return fault(`server ${server} does not answer`);
  if (UNTRUSTED.test(code)) return fault(`server ${server} shows a certificate that is not trusted (servers[].ca)`);
  if (isLost(error)) return fault(`server ${server} cannot be reached`);
  if (code.startsWith('28')) return fault(`server ${server} refuses the broker's own login`);
  if (code === '57014' || error instanceof SlowError) return fault(`server ${server} did not answer in time`);
  if (code === '53300') return fault(`server ${server} has no connection left for the broker`);
  if (
    code === '42501' &&
    /^permission denied (to (create|alter|drop|grant|rename)|for database)/.test(messageOf(error))
  )
    return fault(`server ${server} does not let the broker's role do what it must: ${messageOf(error)}`);
  if (code === '53100')
    return new BrokerError('server_full', `server ${server} has no disk space left`, { cause: error });
  if (code === '55P03' || code === '55006' || isCollision(error))
    return new BrokerError('concurrency', 'something else is at work on the same objects: try again later', {
      cause: error,
      retryAfter: RETRY_AFTER_S,
    });
  return error;
}
