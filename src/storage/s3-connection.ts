import { type S3 } from '@aws-sdk/client-s3';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { setTimeout as pause } from 'node:timers/promises';
import { type S3StorageConfig } from '../config/storages.js';
import { isTransient, retryAfterOf, S3Fault, s3Error } from './s3-error.js';
import { type S3Timing } from './s3-timing.js';
import { storageError } from './storage-error.js';

/** Handed to each request, so that it ends when its caller has gone. */
export interface RequestOptions {
  abortSignal: AbortSignal;
}

/** One bucket at one service: requests with their time limits and tries, faults in the words of the storage contract. */
export class S3Connection {
  #client: Promise<S3> | undefined;
  readonly #agents = { http: new HttpAgent(AGENT), https: new HttpsAgent(AGENT) };

  constructor(
    readonly config: S3StorageConfig,
    readonly timing: S3Timing,
  ) {
    if (config.ca !== undefined) this.#agents.https = new HttpsAgent({ ...AGENT, ca: config.ca });
  }

  /**
   * Sends one request until it succeeds or no further try makes sense.
   * @throws S3Fault, or the signal's reason once it is aborted.
   */
  async send<T>(
    signal: AbortSignal,
    request: (s3: S3, options: RequestOptions) => Promise<T>,
    attempts = this.timing.attempts,
  ): Promise<T> {
    const s3 = await this.client();
    const begun = Date.now();
    for (let attempt = 1; ; attempt++) {
      signal.throwIfAborted();
      try {
        return await request(s3, { abortSignal: signal });
      } catch (error) {
        signal.throwIfAborted();
        const worn = attempt >= attempts || Date.now() - begun >= this.timing.patience;
        if (worn || !isTransient(error)) throw new S3Fault(error);
        await this.backOff(attempt, signal, error);
      }
    }
  }

  /** Waits before the try that follows the given one. Rejects with the signal's reason. */
  async backOff(attempt: number, signal: AbortSignal, error?: unknown): Promise<void> {
    const full = Math.min(this.timing.backoff * 2 ** (attempt - 1), MOST_BACKOFF);
    const asked = Math.min(retryAfterOf(error) ?? 0, MOST_BACKOFF);
    await pause(Math.max(asked, (full * (1 + Math.random())) / 2), undefined, { signal }).catch(() => {});
    signal.throwIfAborted();
  }

  /** Faults of requests in the words of the storage contract; any other error as it is. */
  explain(error: unknown): unknown {
    if (!(error instanceof S3Fault)) return error;
    const { access_key_id, secret_access_key, session_token } = this.config;
    const secrets = [access_key_id, secret_access_key?.reveal(), session_token?.reveal()];
    return s3Error(
      this.config.name,
      error.raw,
      secrets.filter((secret) => secret !== undefined),
    );
  }

  /** The service answered, but not as an S3 service does. */
  misbehaved(what: string): Error {
    return storageError('storage_failed', this.config.name, what);
  }

  close(): void {
    this.#agents.http.destroy();
    this.#agents.https.destroy();
  }

  private client(): Promise<S3> {
    this.#client ??= this.connect();
    return this.#client;
  }

  /** The SDK is loaded by the first request: brokers without such a storage do without its memory. */
  private async connect(): Promise<S3> {
    const { S3 } = await import('@aws-sdk/client-s3');
    const { config, timing } = this;
    const region = config.region ?? (config.endpoint === undefined ? undefined : 'us-east-1');
    return new S3({
      ...(region === undefined ? {} : { region }),
      ...(config.endpoint === undefined ? {} : { endpoint: config.endpoint }),
      ...credentialsOf(config),
      forcePathStyle: config.force_path_style,
      // Tries are counted by `send`, which also knows the faults that the SDK gives up at once.
      maxAttempts: 1,
      // Bodies are whole buffers, signed or with their MD5; not every service knows the newer checksums.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      // With it the SDK opens a new connection for each part, and one without the agent's certificates.
      expectContinueHeader: false,
      requestHandler: {
        connectionTimeout: timing.connect,
        socketTimeout: timing.silence,
        httpAgent: this.#agents.http,
        httpsAgent: this.#agents.https,
      },
    });
  }
}

const AGENT = { keepAlive: true, maxSockets: 64 };
const MOST_BACKOFF = 20_000;

function credentialsOf({ access_key_id, secret_access_key, session_token }: S3StorageConfig) {
  if (access_key_id === undefined || secret_access_key === undefined) return {};
  const sessionToken = session_token === undefined ? {} : { sessionToken: session_token.reveal() };
  return {
    credentials: { accessKeyId: access_key_id, secretAccessKey: secret_access_key.reveal(), ...sessionToken },
  };
}
