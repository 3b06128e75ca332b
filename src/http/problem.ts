import { STATUS_CODES } from 'node:http';
import { HttpException } from '@nestjs/common';
import { BrokerError, type ErrorCode, STATUS_OF } from '../errors.js';
import { isPlatformPath } from './request-path.js';

/** What an error becomes on the wire. */
export interface Answer {
  status: number;
  code: ErrorCode;
  headers: Record<string, string | string[]>;
  body: Record<string, unknown>;
}

/** What of a request the answer to an error depends on. */
export interface Asked {
  requestId: string;
  /** The request target. */
  url: string;
  realm?: string | undefined;
}

/** The error words that the Open Service Broker API 2.17 defines (Service Broker Errors). */
const WORDS: Partial<Record<ErrorCode, string>> = {
  concurrency: 'ConcurrencyError',
  operation_in_progress: 'ConcurrencyError',
  maintenance_info_conflict: 'MaintenanceInfoConflict',
};

/** Members beside `error` and `description` that the Open Service Broker API 2.17 defines for a failure. */
const FURTHER_MEMBERS = ['instance_usable', 'update_repeatable'];

/** The answer to an error: problem+json (RFC 9457), within `/v2` the Open Service Broker API's error body. */
export function answerTo(error: unknown, asked: Asked): Answer {
  const known = knownError(error, isPlatformPath(asked.url)) ?? internal(asked.requestId);
  const headers: Answer['headers'] = {};
  if (known.code === 'unauthenticated')
    headers['www-authenticate'] = [
      ...(known.challenges ?? [`Basic realm="${asked.realm ?? 'broker'}", charset="UTF-8"`]),
    ];
  if (known.retryAfter !== undefined) headers['retry-after'] = String(Math.max(1, Math.ceil(known.retryAfter)));
  const size = known.details['size_bytes'];
  if (known.code === 'range_not_satisfiable' && size !== undefined)
    headers['content-range'] = `bytes */${String(size)}`;
  const allowed = known.details['allowed_methods'];
  if (Array.isArray(allowed)) headers['allow'] = allowed.join(', ');
  return isPlatformPath(asked.url) ? platformAnswer(known, headers) : problemAnswer(known, headers, asked.requestId);
}

/** Whether the error is one that was foreseen: it needs no stack in the log. */
export function isForeseen(error: unknown): boolean {
  return knownError(error, false) !== undefined;
}

function platformAnswer(error: BrokerError, headers: Answer['headers']): Answer {
  headers['content-type'] = 'application/json; charset=utf-8';
  if (error.code === 'gone') return { status: 410, code: error.code, headers, body: {} };
  const word = WORDS[error.code];
  const further = FURTHER_MEMBERS.filter((name) => error.details[name] !== undefined);
  return {
    status: error.code === 'operation_in_progress' ? 422 : error.status,
    code: error.code,
    headers,
    body: {
      ...(word === undefined ? {} : { error: word }),
      description: error.message,
      ...Object.fromEntries(further.map((name) => [name, error.details[name]])),
    },
  };
}

function problemAnswer(error: BrokerError, headers: Answer['headers'], requestId: string): Answer {
  headers['content-type'] = 'application/problem+json; charset=utf-8';
  return {
    status: error.status,
    code: error.code,
    headers,
    body: {
      ...error.details,
      type: 'about:blank',
      title: STATUS_CODES[error.status] ?? 'Error',
      status: error.status,
      code: error.code,
      detail: error.message,
      request_id: requestId,
    },
  };
}

function internal(requestId: string): BrokerError {
  return new BrokerError(
    'internal',
    `the broker met an error that it did not expect; its log has more under ${requestId}`,
  );
}

function knownError(error: unknown, platform: boolean): BrokerError | undefined {
  if (error instanceof BrokerError) return error;
  const cause = error instanceof HttpException ? error.cause : error;
  const code = (cause as { code?: unknown } | undefined)?.code;
  if (typeof code === 'string' && code.startsWith('FST_ERR_')) {
    const known = frameworkError(code, platform);
    if (known !== undefined) return known;
  }
  const status = error instanceof HttpException ? error.getStatus() : 500;
  if (status >= 500) return undefined;
  return new BrokerError(codeOf(status), (STATUS_CODES[status] ?? 'invalid request').toLowerCase(), { cause: error });
}

function frameworkError(code: string, platform: boolean): BrokerError | undefined {
  switch (code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new BrokerError('too_large', 'body: expected at most 1 MiB');
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return platform
        ? new BrokerError('invalid_request', 'content-type: expected application/json')
        : new BrokerError('unsupported_media_type', 'content-type: not supported here');
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return new BrokerError('invalid_request', 'content-length: differs from the size of the body');
    case 'FST_ERR_BAD_URL':
      return new BrokerError('invalid_request', 'path: expected valid percent-encoding');
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return new BrokerError('invalid_request', 'path: expected ids of at most 255 characters');
    default:
      return undefined;
  }
}

function codeOf(status: number): ErrorCode {
  const codes = Object.keys(STATUS_OF) as ErrorCode[];
  return codes.find((code) => STATUS_OF[code] === status) ?? 'invalid_request';
}
