import { type ClientRequest, type IncomingMessage } from 'node:http';
import * as http from 'node:http';
import * as https from 'node:https';
import { Inject, Injectable } from '@nestjs/common';
import { BROKER_CONFIG } from '../config/config.module.js';
import { type BrokerConfig } from '../config/schema.js';
import { BrokerError } from '../errors.js';

/** For one question, from its beginning to the last byte of its answer, in ms. */
const PATIENCE_MS = 5_000;
const MAX_BYTES = 1024 * 1024;
/** Questions at once; further ones wait for their turn, within their time. */
const MAX_SOCKETS = 32;
const RETRY_AFTER_S = 5;

export interface ControllerAnswer {
  status: number;
  text: string;
}

/** Asks the Cloud Controller and the UAA that it names. Follows no redirect, and waits 5 s at most. */
@Injectable()
export class ControllerClient {
  /** Of the Cloud Controller, without a slash at its end; undefined where none is configured. */
  readonly url: string | undefined;
  readonly #agents: { 'http:': http.Agent; 'https:': https.Agent };

  constructor(@Inject(BROKER_CONFIG) { cloud_controller: config }: BrokerConfig) {
    this.url = config?.url?.replace(/\/+$/, '');
    const trust = { rejectUnauthorized: config?.skip_tls_verify !== true, ...(config?.ca && { ca: config.ca }) };
    this.#agents = {
      'http:': new http.Agent({ maxSockets: MAX_SOCKETS }),
      'https:': new https.Agent({ maxSockets: MAX_SOCKETS, ...trust }),
    };
  }

  /**
   * @param token the bearer token that goes with the question
   * @throws BrokerError `controller_unreachable` where there is no whole answer within the time
   */
  async get(url: string, token?: string): Promise<ControllerAnswer> {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    try {
      const response = await answered(this.#request(new URL(url), token, signal));
      return { status: response.statusCode ?? 0, text: await textOf(response) };
    } catch (error) {
      throw unreachable(url, signal.aborted ? `no answer within ${PATIENCE_MS / 1000} s` : reasonOf(error));
    }
  }

  /**
   * The JSON of an answer with status 200.
   * @throws BrokerError `controller_unreachable`
   */
  async json(url: string): Promise<unknown> {
    const { status, text } = await this.get(url);
    if (status !== 200) throw unreachable(url, `status ${status}`);
    return parsed(text) ?? Promise.reject(unreachable(url, 'no JSON'));
  }

  #request(url: URL, token: string | undefined, signal: AbortSignal): ClientRequest {
    const headers = { accept: 'application/json', ...(token !== undefined && { authorization: `bearer ${token}` }) };
    return url.protocol === 'https:'
      ? https.get(url, { agent: this.#agents['https:'], headers, signal })
      : http.get(url, { agent: this.#agents['http:'], headers, signal });
  }
}

/** The Cloud Controller or its UAA cannot be asked, or its answer cannot be used: nobody gets in by that. */
export function unreachable(url: string, why: string): BrokerError {
  const { origin } = new URL(url);
  return new BrokerError(
    'controller_unreachable',
    `the rights of users cannot be asked for at present: ${origin}: ${why}`,
    { retryAfter: RETRY_AFTER_S },
  );
}

/** Undefined for what is no JSON. */
export function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function answered(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) =>
    request
      .once('response', resolve)
      .once('error', reject)
      // A switch to another protocol, which nobody asked for, is neither of the two.
      .once('close', () => reject(new Error('no answer'))),
  );
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BYTES) throw new Error('the answer is too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Codes and fixed texts: a message of Node's may quote what was sent. */
function reasonOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  return code ?? (error instanceof Error ? error.message : 'no answer');
}
