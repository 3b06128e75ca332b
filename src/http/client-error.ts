import { STATUS_CODES } from 'node:http';
import { type Socket } from 'node:net';
import { randomUUID } from 'node:crypto';
import { type Logger } from 'pino';
import { BrokerError } from '../errors.js';
import { answerTo } from './problem.js';

const LINGER_MS = 1_000;
const TIMED_OUT = 'ERR_HTTP_REQUEST_TIMEOUT';

/** Answers what is no HTTP at all, headers beyond 16 KiB, and requests that do not arrive in time. */
export function clientErrorHandler(log: Logger) {
  return (error: NodeJS.ErrnoException, socket: Socket): void => {
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy();
      return;
    }
    const requestId = randomUUID();
    const answer = answerTo(faultOf(error), { requestId, url: '' });
    const status = error.code === TIMED_OUT ? 408 : answer.status;
    const body = JSON.stringify({ ...answer.body, status, title: STATUS_CODES[status] });
    const headers = {
      ...answer.headers,
      'x-request-id': requestId,
      connection: 'close',
      'content-length': String(Buffer.byteLength(body)),
    };
    const lines = Object.entries(headers).flatMap(([name, value]) =>
      [value].flat().map((each) => `${name}: ${each}\r\n`),
    );
    log.info(
      { request_id: requestId, status, code: error.code, address: socket.remoteAddress },
      'refused what is no proper request',
    );
    // Reading on for a moment lets the answer arrive: closing with unread data would reset the connection.
    socket.resume();
    socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`);
    setTimeout(() => socket.destroy(), LINGER_MS).unref();
  };
}

function faultOf({ code }: NodeJS.ErrnoException): BrokerError {
  if (code === 'HPE_HEADER_OVERFLOW')
    return new BrokerError('headers_too_large', 'headers: expected at most 16 KiB in all');
  if (code === TIMED_OUT) return new BrokerError('invalid_request', 'the request did not arrive in time');
  return new BrokerError('invalid_request', 'expected an HTTP/1.1 request');
}
