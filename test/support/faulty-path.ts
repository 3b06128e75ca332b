import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo } from 'node:net';

/** What happens to one request on its way, or to its answer. */
export interface Mishap {
  /** The connection breaks once the server has got so many bytes of the body. */
  cutRequestAt?: number;
  /** One bit of this byte of the body is flipped. */
  flipRequestAt?: number;
  /** The connection breaks once the client has got so many bytes of the answer's body. */
  cutAnswerAt?: number;
  /** The connection breaks when the server has done its work. */
  loseAnswer?: boolean;
  /** Nothing arrives any more, and nothing breaks. */
  silence?: boolean;
  /** Answered in the server's place. */
  answer?: { status: number; headers?: Record<string, string>; body?: string };
}

export interface Passing {
  method: string;
  url: string;
}

/** The network between a client and a server: passes requests on as they are, but for the mishaps that a test asks for. */
export interface FaultyPath {
  readonly endpoint: string;
  readonly seen: Passing[];
  /** Asked for each request; undefined lets it pass. */
  interfere: (passing: Passing) => Mishap | undefined;
  close(): Promise<void>;
}

export async function openFaultyPath(to: string): Promise<FaultyPath> {
  const { hostname, port } = new URL(to);
  const server = createServer((incoming, outgoing) => {
    const passing = { method: incoming.method ?? '', url: incoming.url ?? '' };
    path.seen.push(passing);
    forward(path.interfere(passing) ?? {}, { hostname, port }, incoming, outgoing);
  });
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const path: FaultyPath = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen: [],
    interfere: () => undefined,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return path;
}

/** Lets the first request that fits meet with the mishap; counts from 0. */
export function once(fits: (passing: Passing) => boolean, mishap: Mishap): FaultyPath['interfere'] {
  return times(1, fits, mishap);
}

export function times(count: number, fits: (passing: Passing) => boolean, mishap: Mishap): FaultyPath['interfere'] {
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
    incoming.resume().on('end', () => outgoing.writeHead(status, headers).end(body));
    return;
  }
  const { method, url: path, headers } = incoming;
  const onward = request({ hostname, port, method, path, headers, agent: false });
  onward.on('error', cut);
  incoming.on('error', () => onward.destroy());
  outgoing.on('close', () => onward.destroy());
  let asked = 0;
  incoming.on('data', (chunk: Buffer) => {
    const { cutRequestAt = Infinity, flipRequestAt = -1 } = mishap;
    const at = flipRequestAt - asked;
    if (at >= 0 && at < chunk.length) chunk[at] = (chunk[at] ?? 0) ^ 1;
    onward.write(chunk.subarray(0, Math.max(cutRequestAt - asked, 0)));
    asked += chunk.length;
    if (asked < cutRequestAt) return;
    onward.destroy();
    cut();
  });
  incoming.on('end', () => onward.end());
  onward.on('response', (answer) => {
    answer.on('error', cut);
    if (mishap.loseAnswer) return void answer.resume().on('end', cut);
    outgoing.writeHead(answer.statusCode ?? 0, answer.headers);
    let answered = 0;
    answer.on('data', (chunk: Buffer) => {
      const { cutAnswerAt = Infinity } = mishap;
      const room = outgoing.write(chunk.subarray(0, Math.max(cutAnswerAt - answered, 0)), () => {
        if (answered >= cutAnswerAt) cut();
      });
      answered += chunk.length;
      if (room) return;
      answer.pause();
      outgoing.once('drain', () => answer.resume());
    });
    answer.on('end', () => outgoing.end());
  });
}
