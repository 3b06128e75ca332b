import { request, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http';
import { keepSecret } from './run-log.js';

export type Json = Record<string, unknown>;

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  /** The JSON object of the answer; `{}` where it has none. */
  body: Json;
}

export interface Credential {
  username: string;
  password: string;
}

export interface Call {
  query?: Record<string, string | boolean | number | undefined>;
  /** `undefined` removes a header that the client sends by itself. */
  headers?: Record<string, string | string[] | undefined>;
  /** Sent as JSON. */
  body?: unknown;
  /** Sent as it is, instead of `body`. */
  raw?: string | Buffer;
  /** Hangs up when it is aborted. */
  signal?: AbortSignal;
}

/** A small client on a socket of its own per request; the path goes out as it is written. */
export class HttpClient {
  constructor(
    readonly url: string,
    readonly credential: Credential | undefined,
    readonly headers: Record<string, string | string[] | undefined> = {},
  ) {}

  /** The same client with other headers. */
  having(headers: Record<string, string | string[] | undefined>): this {
    const Same = this.constructor as new (url: string, credential: Credential | undefined, headers: object) => this;
    return new Same(this.url, this.credential, { ...this.headers, ...headers });
  }

  as(credential: Credential | undefined): this {
    const Same = this.constructor as new (url: string, credential: Credential | undefined, headers: object) => this;
    return new Same(this.url, credential, this.headers);
  }

  get(path: string, call?: Call): Promise<Answer> {
    return this.send('GET', path, call);
  }

  delete(path: string, call?: Call): Promise<Answer> {
    return this.send('DELETE', path, call);
  }

  /** Rejects when the connection breaks before the whole answer is there. */
  send(method: string, path: string, call: Call = {}): Promise<Answer> {
    const payload = call.raw ?? (call.body === undefined ? undefined : JSON.stringify(call.body));
    const headers = definedOnly({
      ...(this.credential ? { authorization: basic(this.credential) } : {}),
      ...(payload === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }),
      ...this.headers,
      ...call.headers,
    });
    keepAuthorization(headers['authorization']);
    const { hostname, port } = new URL(this.url);
    const signal = call.signal ? { signal: call.signal } : {};
    return new Promise((resolve, reject) => {
      const sent = request({
        hostname,
        port,
        method,
        path: path + queryOf(call.query),
        headers,
        agent: false,
        ...signal,
      });
      sent.on('error', reject);
      sent.on('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('close', () => {
          if (!response.complete) return reject(new Error('the answer was cut off'));
          const text = Buffer.concat(chunks).toString('utf8');
          const body = objectOf(text);
          keepCredentials(body['credentials']);
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text, body });
        });
      });
      sent.end(payload);
    });
  }
}

export function basic({ username, password }: Credential): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

/** The part after the scheme: a token, or user and password. */
function keepAuthorization(header: unknown): void {
  if (typeof header === 'string') keepSecret(header.split(' ')[1] ?? '');
}

/** Those of a binding. */
function keepCredentials(credentials: unknown): void {
  const password = (credentials as { password?: unknown } | null | undefined)?.password;
  if (typeof password === 'string') keepSecret(password);
}

function queryOf(query: Call['query'] = {}): string {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined);
  if (pairs.length === 0) return '';
  return `?${pairs.map(([key, value]) => `${encodeURIComponent(key)}=${encodeURIComponent(String(value))}`).join('&')}`;
}

function definedOnly(headers: Record<string, unknown>): OutgoingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined)) as OutgoingHttpHeaders;
}

function objectOf(text: string): Json {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};
  } catch {
    return {};
  }
}
