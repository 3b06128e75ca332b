/**
 * Every error that a caller may meet, by its code, and the HTTP status that the exception filter answers with.
 * Codes are part of the API: they are documented, and clients branch on them.
 */
export const STATUS_OF = {
  invalid_request: 400,
  unknown_storage: 400,
  digest_mismatch: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  unknown_instance: 404,
  unknown_binding: 404,
  unknown_operation: 404,
  unknown_backup: 404,
  archive_missing: 404,
  no_restore_point: 404,
  method_not_allowed: 405,
  conflict: 409,
  operation_in_progress: 409,
  operation_ended: 409,
  backup_exists: 409,
  cancelled: 409,
  database_in_use: 409,
  gone: 410,
  api_version: 412,
  precondition_failed: 412,
  too_large: 413,
  unsupported_media_type: 415,
  range_not_satisfiable: 416,
  concurrency: 422,
  maintenance_info_conflict: 422,
  not_supported: 422,
  archive_invalid: 422,
  archive_rejected: 422,
  archive_damaged: 422,
  archive_too_new: 422,
  dump_failed: 422,
  restore_failed: 422,
  verification_failed: 422,
  too_many_requests: 429,
  headers_too_large: 431,
  internal: 500,
  encryption_key: 500,
  timed_out: 500,
  storage_unreachable: 502,
  storage_denied: 502,
  storage_missing: 502,
  storage_failed: 502,
  server_unreachable: 503,
  controller_unreachable: 503,
  starting: 503,
  stopping: 503,
  server_full: 507,
  spool_full: 507,
  storage_full: 507,
} as const satisfies Record<string, number>;

export type ErrorCode = keyof typeof STATUS_OF;

/** Why the broker cannot start, for its operator to put right: the message says all of it, without a stack. */
export class StartError extends Error {
  override readonly name: string = 'StartError';
}

export interface BrokerErrorOptions {
  /** What went wrong underneath; logged, never shown. */
  cause?: unknown;
  /** Further members of the answer, `operation_id` for instance. Never a secret. */
  details?: Record<string, string | number | boolean | string[]>;
  /** Seconds after which a new try makes sense; becomes the `Retry-After` header. */
  retryAfter?: number;
  /** With `unauthenticated`: the `WWW-Authenticate` headers. */
  challenges?: string[];
}

/**
 * An error whose message may be shown to the user: lower case, without a full stop and without secrets.
 * Anything that is not a `BrokerError` is answered as `internal` with a fixed text.
 */
export class BrokerError extends Error {
  override readonly name = 'BrokerError';
  readonly details: NonNullable<BrokerErrorOptions['details']>;
  readonly retryAfter: number | undefined;
  readonly challenges: readonly string[] | undefined;

  constructor(
    readonly code: ErrorCode,
    message: string,
    options: BrokerErrorOptions = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.details = options.details ?? {};
    this.retryAfter = options.retryAfter;
    this.challenges = options.challenges;
  }

  get status(): number {
    return STATUS_OF[this.code];
  }
}

/** What does not exist, or, to who may not see it, as if it did not. */
export function unknownInstance(): BrokerError {
  return new BrokerError('unknown_instance', 'there is no service instance of this id');
}
