import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { type ConnectionTarget } from './connection-target.js';
import { SilenceError, SlowError } from './server-fault.js';

/** Work that takes longer makes it worth asking whether the server lives, again and again. */
const PATIENCE_MS = 2500;
/** A living server answers a question about TLS at once, whatever its sessions are busy with, or nearly so. */
const ANSWER_MS = 4000;

/** `SSLRequest` of PostgreSQL's protocol: answered with one byte before any login (protocol-message-formats). */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);

export function openSocket({ host, port }: ConnectionTarget): Socket {
  return host.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : connect(port, host);
}

/** Whether the server answers at all. It takes no session for that. */
export function answers(target: ConnectionTarget): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = openSocket(target);
    const end = (answered: boolean) => {
      clearTimeout(limit);
      socket.destroy();
      resolve(answered);
    };
    const limit = setTimeout(() => end(false), ANSWER_MS);
    socket.on('error', () => end(false));
    socket.on('close', () => end(false));
    socket.once('data', () => end(true));
    socket.write(SSL_REQUEST);
  });
}

/**
 * The result of `work` as long as the server answers: rejects with SilenceError some 6 s after it went silent (stopped,
 * cut off), with SlowError when `work` took longer than `limitMs` on one that lives.
 */
export async function whileAnswering<T>(target: ConnectionTarget, work: Promise<T>, limitMs: number): Promise<T> {
  const ended = new AbortController();
  try {
    return await Promise.race([work, silence(target, limitMs, ended.signal)]);
  } finally {
    ended.abort();
  }
}

async function silence(target: ConnectionTarget, limitMs: number, ended: AbortSignal): Promise<never> {
  for (let left = limitMs; ; left -= PATIENCE_MS) {
    await delay(Math.min(PATIENCE_MS, left), undefined, { signal: ended });
    if (!(await answers(target))) throw new SilenceError('no sign of life');
    if (left <= PATIENCE_MS) throw new SlowError('took too long');
  }
}
