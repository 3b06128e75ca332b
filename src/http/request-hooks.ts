import { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { type Logger } from 'pino';
import { type Authenticator } from '../auth/authenticator.js';
import { BrokerError } from '../errors.js';
import { logAccess } from './access-log.js';
import { type Lifecycle } from './lifecycle.js';
import { logContext } from './log-context.js';
import { checkApiVersion, originatingIdentity } from './platform-headers.js';
import { isPlatformPath } from './request-path.js';
import { type KnownRoutes } from './routes.js';
import { isStorable } from './storable.js';

export interface HookParts {
  log: Logger;
  lifecycle: Lifecycle;
  authenticator: Authenticator;
  routes: KnownRoutes;
}

const RETRY_AFTER = { starting: 1, stopping: 5 };

/**
 * What every request meets before its body is read, in this order: request id and access log; 404 and 405; 401; 503
 * while starting or stopping; 412; 400 for what is wrong in path, query and headers.
 */
export function installRequestHooks(fastify: FastifyInstance, parts: HookParts): void {
  fastify.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id);
    logAccess(request, reply, parts.log);
    logContext.run({ request_id: request.id }, done);
  });
  fastify.addHook('onRequest', (request, reply, done) => {
    try {
      admit(request, reply, parts);
      done();
    } catch (error) {
      done(error as Error);
    }
  });
}

function admit(request: FastifyRequest, reply: FastifyReply, parts: HookParts): void {
  if (request.is404) throw unknownRoute(request, parts.routes);
  const realm = request.routeOptions.config.realm;
  if (realm === 'public') return;
  reply.header('cache-control', 'no-store');
  if (realm === undefined) throw new BrokerError('forbidden', 'this path is closed');
  const username = parts.authenticator.authenticate(realm, request.headers.authorization, request.ip);
  request.requester = { realm, username };
  countRunning(reply, parts.lifecycle);
  if (isPlatformPath(request.url)) {
    echoRequestIdentity(request, reply);
    checkApiVersion(request.headers);
  }
  checkQuery(request.query as Record<string, unknown>);
  checkParams(request.params as Record<string, string>);
  const originating = realm === 'platform' ? originatingIdentity(request.headers) : undefined;
  if (originating !== undefined) request.requester.originating = originating;
}

function unknownRoute(request: FastifyRequest, routes: KnownRoutes): BrokerError {
  const methods = routes.methodsOf(request.url);
  if (methods.length === 0) return new BrokerError('not_found', 'there is nothing at this path');
  return new BrokerError('method_not_allowed', `expected ${methods.join(', ')}`, {
    details: { allowed_methods: methods },
  });
}

function countRunning(reply: FastifyReply, lifecycle: Lifecycle): void {
  const { state } = lifecycle;
  if (state !== 'ready') {
    if (state === 'stopping') reply.header('connection', 'close');
    throw new BrokerError(state, `the broker is ${state}`, { retryAfter: RETRY_AFTER[state] });
  }
  lifecycle.requestStarted();
  reply.raw.once('close', () => lifecycle.requestEnded());
}

function echoRequestIdentity(request: FastifyRequest, reply: FastifyReply): void {
  const identity = request.headers['x-broker-api-request-identity'];
  if (typeof identity === 'string' && /^[\x21-\x7e]{1,256}$/.test(identity))
    reply.header('x-broker-api-request-identity', identity);
}

function checkQuery(query: Record<string, unknown>): void {
  for (const [key, value] of Object.entries(query)) {
    if (Array.isArray(value)) throw new BrokerError('invalid_request', `${key}: expected at most once in the query`);
    if (!isStorable(key) || (typeof value === 'string' && !isStorable(value)))
      throw new BrokerError('invalid_request', 'query: expected valid Unicode without NUL');
  }
}

/** Ids are any non-empty strings of at most 255 characters. */
function checkParams(params: Record<string, string>): void {
  for (const [name, value] of Object.entries(params)) {
    if (value === '' || [...value].length > 255 || !isStorable(value))
      throw new BrokerError('invalid_request', `${name}: expected 1 to 255 characters without NUL`);
  }
}
