import { type IncomingMessage, type ServerResponse } from 'node:http';
import { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { addRouteSettings } from '../auth/route-settings.js';
import { BrokerError } from '../errors.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Set by `@StreamedBody`. */
    streamedBody?: boolean;
  }
}

const OCTETS = 'application/octet-stream';

/** Longest time for all of another body to arrive, in ms. */
const BODY_MS = 60_000;

/** So long what is left of a body is read after its answer: closing at once would reset the connection before it. */
const LINGER_MS = 5_000;

const waiting = new WeakSet<IncomingMessage>();

/**
 * The handler is given the request before its body: `request.body` is the stream of it, of content type
 * application/octet-stream (which is assumed where none is given; others are 415). It calls `acceptBody` when it wants
 * the bytes, and may answer without ever doing so.
 */
export function StreamedBody(): MethodDecorator {
  return (target, key, descriptor) => addRouteSettings({ streamedBody: true }, target, key, descriptor);
}

/** Tells a client that has asked first (`Expect: 100-continue`) to send the body. */
export function acceptBody(request: FastifyRequest, reply: FastifyReply): void {
  if (!waiting.delete(request.raw)) return;
  reply.removeHeader('connection');
  reply.raw.writeContinue();
}

/** Bodies that are read by their handlers, and `Expect: 100-continue` for all. */
export function installStreamedBodies(fastify: FastifyInstance): void {
  const { server } = fastify;
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    waiting.add(request);
    server.emit('request', request, response);
  });
  fastify.addHook('onRequest', (request, reply, done) => {
    // A client that was refused does not send the body that it has announced.
    if (waiting.has(request.raw)) reply.header('connection', 'close');
    if (request.routeOptions.config.streamedBody) return done(begin(request, reply));
    limitTime(fastify, request.raw);
    done();
  });
  fastify.addHook('preParsing', (request, reply, _payload, done) => {
    if (!request.routeOptions.config.streamedBody) acceptBody(request, reply);
    done();
  });
  fastify.addContentTypeParser(OCTETS, (request, payload, done) => {
    if (request.routeOptions.config.streamedBody) return done(null, payload);
    done(Object.assign(new Error('not read here'), { code: 'FST_ERR_CTP_INVALID_MEDIA_TYPE', statusCode: 415 }));
  });
}

function begin({ raw }: FastifyRequest, reply: FastifyReply): BrokerError | undefined {
  reply.raw.once('finish', () => {
    if (raw.complete) return;
    raw.resume();
    // Once it has come to its end the connection is good for further calls.
    const late = setTimeout(() => raw.socket.destroy(), LINGER_MS).unref();
    raw.once('close', () => clearTimeout(late));
  });
  const type = (raw.headers['content-type'] ??= OCTETS);
  const encoding = raw.headers['content-encoding'] ?? 'identity';
  if (/^application\/octet-stream\s*(;|$)/i.test(type) && encoding.toLowerCase() === 'identity') return undefined;
  return new BrokerError(
    'unsupported_media_type',
    `expected a body of content-type ${OCTETS} without content-encoding`,
  );
}

/** The server's own limit would hold for streamed bodies too. */
function limitTime({ server }: FastifyInstance, raw: IncomingMessage): void {
  if (raw.complete) return;
  const late = () => {
    const error = Object.assign(new Error('the body did not arrive in time'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' });
    if (!raw.complete) server.emit('clientError', error, raw.socket);
  };
  const timer = setTimeout(late, BODY_MS).unref();
  raw.once('close', () => clearTimeout(timer));
}
