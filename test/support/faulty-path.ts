import { createServer, request, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo } from 'node:net';
import { type CertificatePair } from './certificate.js';

/** What happens to one request on its way, or to its answer. */
export interface Mishap {
  /** The connection breaks once the server has got so many bytes of the body. */
  cutRequestAt?: number;
  /** One bit of this byte of the body is flipped. */
  flipRequestAt?: number;
  /** The connection breaks once the client has got so many bytes of the answer's body. */
  cutAnswerAt?: number;
  /** Nothing more comes once the client has got so many bytes of the answer's body; nothing breaks either. */
  stallAnswerAt?: number;
  /** The server does its work; its answer waits for this. */
  answerAfter?: Promise<unknown>;
  /** The server does its work, and then the connection breaks. */
  loseAnswer?: boolean;
  /** Nothing reaches the server, and nothing breaks. */
  silence?: boolean;
  /** A header of the answer that is dropped. */
  withoutHeader?: string;
  /** Answered in the server's place. */
  answer?: { status: number; headers?: Record<string, string>; body?: string };
}

export interface Passing {
  method: string;
  url: string;
  headers: IncomingHttpHeaders;
}

/** The network between a client and a server: passes requests on as they are, but for the mishaps that a test asks for. */
export interface FaultyPath {
  readonly endpoint: string;
  readonly seen: Passing[];
  /** Asked for each request; undefined lets it pass. */
  interfere: (passing: Passing) => Mishap | undefined;
  /** That clients have open. */
  connections(): Promise<number>;
  close(): Promise<void>;
}

type Fits = (passing: Passing) => boolean;

/** @param certificate speaks TLS to the clients by it */
export async function openFaultyPath(to: string, certificate?: CertificatePair): Promise<FaultyPath> {
  const { hostname, port } = new URL(to);
  const answer = (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const passing = { method: incoming.method ?? '', url: incoming.url ?? '', headers: incoming.headers };
    path.seen.push(passing);
    forward(path.interfere(passing) ?? {}, { hostname, port }, incoming, outgoing);
  };
  const server = certificate
    ? createTlsServer({ cert: certificate.certificate, key: certificate.privateKey }, answer)
    : createServer(answer);
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const path: FaultyPath = {
    endpoint: `${certificate ? 'https' : 'http'}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen: [],
    interfere: () => undefined,
    connections: () =>
      new Promise((resolve, reject) =>
        server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
      ),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return path;
}

/** Lets the first request that fits meet with the mishap. */
export function once(fits: Fits, mishap: Mishap): FaultyPath['interfere'] {
  return times(1, fits, mishap);
}

export function times(count: number, fits: Fits, mishap: Mishap): FaultyPath['interfere'] {
  let left = count;
  return (passing) => (fits(passing) && left-- > 0 ? mishap : undefined);
}

function forward(
  mishap: Mishap,
  { hostname, port }: { hostname: string; port: string },
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): void {
  if (mishap.silence) return;
  const cut = () => incoming.socket.destroy();
  if (mishap.answer) {
    const { status, headers, body = '' } = mishap.answer;
    incoming.resume().on('end', () => outgoing.writeHead(status, headers).end(incoming.method === 'HEAD' ? '' : body));
    return;
  }
  const { method, url: path, headers } = incoming;
  const onward = request({ hostname, port, method, path, headers, agent: false });
  onward.on('error', cut);
  incoming.on('error', () => onward.destroy());
  outgoing.on('close', () => onward.destroy());
  passBody(
    mishap,
    incoming,
    (chunk) => onward.write(chunk),
    () => {
      onward.destroy();
      cut();
    },
  );
  incoming.on('end', () => onward.end());
  onward.on('response', (answer) => {
    answer.on('error', cut);
    if (mishap.loseAnswer) return void answer.resume().on('end', cut);
    if (mishap.withoutHeader) delete answer.headers[mishap.withoutHeader];
    void (mishap.answerAfter ?? Promise.resolve()).then(() => passAnswer(mishap, answer, outgoing, cut));
  });
}

function passBody(mishap: Mishap, incoming: IncomingMessage, pass: (chunk: Buffer) => void, cut: () => void): void {
  const { cutRequestAt = Infinity, flipRequestAt = -1 } = mishap;
  let asked = 0;
  incoming.on('data', (chunk: Buffer) => {
    const at = flipRequestAt - asked;
    if (at >= 0 && at < chunk.length) chunk[at] = (chunk[at] ?? 0) ^ 1;
    pass(chunk.subarray(0, Math.max(cutRequestAt - asked, 0)));
    asked += chunk.length;
    if (asked >= cutRequestAt) cut();
  });
}

function passAnswer(mishap: Mishap, answer: IncomingMessage, outgoing: ServerResponse, cut: () => void): void {
  const { cutAnswerAt = Infinity, stallAnswerAt = Infinity } = mishap;
  const end = Math.min(cutAnswerAt, stallAnswerAt);
  outgoing.writeHead(answer.statusCode ?? 0, answer.headers);
  outgoing.flushHeaders();
  if (cutAnswerAt === 0) return cut();
  let answered = 0;
  answer.on('data', (chunk: Buffer) => {
    const part = chunk.subarray(0, Math.max(end - answered, 0));
    answered += chunk.length;
    if (answered >= end) answer.pause();
    const room = outgoing.write(part, () => {
      if (answered >= cutAnswerAt) cut();
    });
    if (room || answered >= end) return;
    answer.pause();
    outgoing.once('drain', () => answer.resume());
  });
  answer.on('end', () => outgoing.end());
}
