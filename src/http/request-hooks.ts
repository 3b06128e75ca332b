import { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { type Logger } from 'pino';
import { type Callers } from '../auth/callers.js';
import { type InstanceSource } from '../auth/user-may.js';
import { BrokerError } from '../errors.js';
import { logAccess } from './access-log.js';
import { changeFacts } from './change.js';
import { type Lifecycle } from './lifecycle.js';
import { logContext } from './log-context.js';
import { checkApiVersion, originatingIdentity } from './platform-headers.js';
import { isPlatformPath } from './request-path.js';
import { type KnownRoutes } from './routes.js';
import { isStorable } from './storable.js';

export interface HookParts {
  log: Logger;
  lifecycle: Lifecycle;
  callers: Callers;
  routes: KnownRoutes;
}

const RETRY_AFTER = { starting: 1, stopping: 5 };

/**
 * What every request meets before its body is read, in this order: request id and access log; 404 and 405; 401; 503
 * while starting or stopping; 412; 400 for what is wrong in path, query and headers; of users' tokens 403 and 404, where
 * they lack the right on an instance that the request names.
 */
export function installRequestHooks(fastify: FastifyInstance, parts: HookParts): void {
  fastify.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id);
    logAccess(request, reply, parts.log);
    request.changeFacts = {};
    changeFacts.run(request.changeFacts, () => logContext.run({ request_id: request.id }, done));
  });
  fastify.addHook('onRequest', (request, reply) => admit(request, reply, parts));
}

async function admit(request: FastifyRequest, reply: FastifyReply, parts: HookParts): Promise<void> {
  if (request.is404) throw unknownRoute(request, parts.routes);
  const realm = request.routeOptions.config.realm;
  if (realm === 'public') return;
  reply.header('cache-control', 'no-store');
  if (realm === undefined) throw new BrokerError('forbidden', 'this path is closed');
  const caller = await parts.callers.identify(realm, authorizationsOf(request), request.ip);
  Object.assign(request, caller);
  countRunning(reply, parts.lifecycle);
  if (isPlatformPath(request.url)) {
    echoRequestIdentity(request, reply);
    checkApiVersion(request.headers);
  }
  checkQuery(request.query as Record<string, unknown>);
  checkParams(request.params as Record<string, string>);
  const originating = realm === 'platform' ? originatingIdentity(request.headers) : undefined;
  if (originating !== undefined) request.requester.originating = originating;
  if (!request.rights.all) await assertUserMay(request);
}

/** Every one that was sent: Node's own `headers` keep the first only. */
export function authorizationsOf({ raw }: Pick<FastifyRequest, 'raw'>): string[] {
  return raw.headersDistinct['authorization'] ?? [];
}

/** Of a Cloud Foundry user. */
async function assertUserMay(request: FastifyRequest): Promise<void> {
  const { userMay } = request.routeOptions.config;
  if (userMay === undefined) throw new BrokerError('forbidden', 'only admins may do this');
  for (const source of userMay.on) {
    const instanceId = instanceIn(request, source);
    if (instanceId !== undefined) await request.rights.assert(userMay.right, instanceId);
    else if (source !== 'query.from')
      throw new BrokerError(
        'invalid_request',
        'instance_id: expected the id of a service instance; only admins see all',
      );
  }
}

function instanceIn({ params, query }: FastifyRequest, source: InstanceSource): string | undefined {
  const [place, name = ''] = source.split('.');
  return ((place === 'path' ? params : query) as Record<string, string | undefined>)[name];
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
