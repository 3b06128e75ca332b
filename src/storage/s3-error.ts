import { type BrokerError } from '../errors.js';
import { asError } from './as-error.js';
import { storageError, type StorageErrorCode } from './storage-error.js';

/** What the SDK's errors, those of Node's network and those of TLS have in common. */
interface Fault {
  name: string;
  message: string;
  /** Of Node, `ECONNREFUSED` for instance; some services' own code. */
  code?: unknown;
  /** Of an AggregateError, whose own message is empty: one for each address of the host. */
  errors?: unknown;
  $metadata?: { httpStatusCode?: number; clockSkewCorrected?: boolean };
  $response?: { statusCode?: number; headers?: Record<string, string> };
}

/** By the name of the error; what is not here is judged by its status. */
const BY_NAME: Readonly<Record<string, StorageErrorCode>> = {
  NoSuchBucket: 'storage_missing',
  InvalidAccessKeyId: 'storage_denied',
  SignatureDoesNotMatch: 'storage_denied',
  AccessDenied: 'storage_denied',
  ExpiredToken: 'storage_denied',
  InvalidToken: 'storage_denied',
  RequestTimeTooSkewed: 'storage_denied',
  CredentialsProviderError: 'storage_denied',
  InsufficientStorage: 'storage_full',
  QuotaExceeded: 'storage_full',
  XMinioStorageFull: 'storage_full',
  RequestTimeout: 'storage_unreachable',
  SlowDown: 'storage_unreachable',
  TimeoutError: 'storage_unreachable',
};

const BY_STATUS: Readonly<Record<number, StorageErrorCode>> = {
  401: 'storage_denied',
  403: 'storage_denied',
  408: 'storage_unreachable',
  429: 'storage_unreachable',
  502: 'storage_unreachable',
  503: 'storage_unreachable',
  504: 'storage_unreachable',
  507: 'storage_full',
};

const TRANSIENT_STATUS = new Set([408, 429, 500, 502, 503, 504]);
/** The bytes were damaged on their way, or the connection was too slow: S3 error responses, Amazon S3 API Reference. */
const TRANSIENT_NAMES = new Set(['XAmzContentSHA256Mismatch', 'BadDigest', 'RequestTimeout', 'SlowDown']);

/** A request failed; `raw` is what the SDK threw. Other errors than this one are not the storage's. */
export class S3Fault extends Error {
  override readonly name = 'S3Fault';

  constructor(readonly raw: unknown) {
    super('the request failed');
  }

  /** Undefined where no answer came. */
  get status(): number | undefined {
    return statusOf(this.raw);
  }

  /** The service's own code, `NoSuchUpload` for instance. */
  get service(): string {
    return faultOf(this.raw).name;
  }

  get timedOut(): boolean {
    return this.service === 'TimeoutError';
  }

  get transient(): boolean {
    return isTransient(this.raw);
  }
}

function faultOf(error: unknown): Fault {
  return asError(error);
}

function statusOf(error: unknown): number | undefined {
  const { $metadata, $response } = faultOf(error);
  return $metadata?.httpStatusCode ?? $response?.statusCode;
}

/** Whether the same request may succeed when it is sent again. */
export function isTransient(error: unknown): boolean {
  const { name, $metadata } = faultOf(error);
  if (name === 'CredentialsProviderError' || isTlsFault(error)) return false;
  const status = statusOf(error);
  if (status === undefined) return networkCode(error) !== undefined || name === 'TimeoutError';
  return TRANSIENT_STATUS.has(status) || TRANSIENT_NAMES.has(name) || $metadata?.clockSkewCorrected === true;
}

/** Milliseconds that the server asks to wait. */
export function retryAfterOf(error: unknown): number | undefined {
  const seconds = Number(faultOf(error).$response?.headers?.['retry-after']);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined;
}

/** What an error of the SDK says about the storage, with none of the secrets. */
export function s3Error(storage: string, error: unknown, secrets: readonly string[]): BrokerError {
  const message = redact(messageOf(error), secrets);
  // The SDK's errors hold the whole request: only their words go on.
  return storageError(codeOf(error), storage, message, new Error(message));
}

function codeOf(error: unknown): StorageErrorCode {
  const byName = BY_NAME[faultOf(error).name];
  if (byName) return byName;
  const status = statusOf(error);
  if (status !== undefined) return BY_STATUS[status] ?? 'storage_failed';
  return networkCode(error) !== undefined ? 'storage_unreachable' : 'storage_failed';
}

function messageOf(error: unknown): string {
  const { name, message, errors } = faultOf(error);
  const status = statusOf(error);
  if (status === undefined) {
    const each = Array.isArray(errors) ? errors.map((one) => faultOf(one).message) : [message];
    return sentence(each.join(', ')) || String(networkCode(error) ?? name);
  }
  const said = isForeign(error) ? 'the answer is not that of an S3 service' : sentence(message);
  return `${said} (${isForeign(error) ? '' : `${name}, `}HTTP status ${status})`;
}

/** What is answered without a body, or with one that is no S3 error, has a name that says nothing. */
function isForeign(error: unknown): boolean {
  const { name, message } = faultOf(error);
  return name === 'SyntaxError' || /Deserialization error|\$response/.test(message) || !/^[A-Za-z0-9.]+$/.test(name);
}

function sentence(message: string): string {
  return message.replace(/\s+/g, ' ').replace(/\.$/, '').trim().slice(0, 1000);
}

function networkCode(error: unknown): string | undefined {
  const { code, errors } = faultOf(error);
  if (typeof code === 'string') return code;
  return Array.isArray(errors) ? errors.map(networkCode).find(Boolean) : undefined;
}

/** Another try would meet the same certificate, or the same plain text. */
function isTlsFault(error: unknown): boolean {
  return /CERT|ERR_TLS|ERR_SSL|EPROTO|UNABLE_TO_/.test(networkCode(error) ?? '');
}

function redact(message: string, secrets: readonly string[]): string {
  return secrets.reduce((text, secret) => text.replaceAll(secret, '[redacted]'), message);
}
