import { type FastifyInstance } from 'fastify';

/** How a path misbehaves. */
export type Fault =
  /** Answers nothing until it is healed. */
  | { kind: 'hangs' }
  /** Cuts the connection. */
  | { kind: 'cut' }
  /** Answers 101, as if it were asked to speak another protocol, and no more. */
  | { kind: 'switches' }
  | { kind: 'redirects'; to: string }
  /** Any status with any body; an object is sent as JSON. */
  | { kind: 'answers'; status: number; body: string | object; headers?: Record<string, string> };

/** Makes paths of the tests' own servers misbehave, and remembers what was asked. */
export class Faults {
  /** Method and path (with its query) of every request, as it came. */
  readonly requests: string[] = [];
  readonly #faults: { path: RegExp; fault: Fault }[] = [];
  #release: (() => void)[] = [];

  set(path: RegExp, fault: Fault): void {
    this.#faults.unshift({ path, fault });
  }

  heal(): void {
    this.#faults.length = 0;
    for (const release of this.#release.splice(0)) release();
  }

  /** How many of the requests so far match. */
  asked(path: RegExp): number {
    return this.requests.filter((each) => path.test(each)).length;
  }

  install(server: FastifyInstance): void {
    server.addHook('onRequest', async (request, reply) => {
      this.requests.push(`${request.method} ${request.url}`);
      const fault = this.#faults.find(({ path }) => path.test(request.url))?.fault;
      if (fault === undefined) return;
      if (fault.kind === 'cut') {
        reply.hijack();
        request.raw.socket.destroy();
      } else if (fault.kind === 'switches') {
        reply.hijack();
        request.raw.socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n');
      } else if (fault.kind === 'hangs') {
        await new Promise<void>((resolve) => {
          this.#release.push(resolve);
          request.raw.socket.once('close', () => resolve());
        });
      } else if (fault.kind === 'redirects') await reply.redirect(fault.to, 302);
      else
        await reply
          .status(fault.status)
          .headers({ 'content-type': 'application/json', ...fault.headers })
          .send(typeof fault.body === 'string' ? fault.body : JSON.stringify(fault.body));
    });
  }
}
