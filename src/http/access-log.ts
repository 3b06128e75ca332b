import { type FastifyReply, type FastifyRequest } from 'fastify';
import { type Logger } from 'pino';
import { logContext } from './log-context.js';
import { requestPath } from './request-path.js';

/** In a place of the path where only a mistake can have put it. */
const JWT = /(?<=\/)eyJ[\w-]+\.[\w-]+\.[\w-]+/g;

/** Query keys whose values are safe to log; the values of all others are left out. */
const SAFE_QUERY_KEYS = ['service_id', 'plan_id', 'accepts_incomplete', 'operation', 'instance_id', 'limit', 'after'];
const HEALTH_PATHS = new Set(['/healthz', '/readyz']);

/**
 * One line for each request once its answer is out or its caller is gone (499). Neither bodies nor headers are
 * logged, but for those named here.
 */
export function logAccess(request: FastifyRequest, reply: FastifyReply, log: Logger): void {
  const started = performance.now();
  reply.raw.once('close', () => {
    const path = requestPath(request.url).replace(JWT, '[token]');
    const status = reply.raw.writableFinished ? reply.raw.statusCode : 499;
    const ms = Math.round(performance.now() - started);
    const level = HEALTH_PATHS.has(path) ? 'debug' : status >= 500 ? 'warn' : 'info';
    const fields = {
      method: request.method,
      path,
      ...safeQuery(request.query),
      status,
      ms,
      address: request.ip,
      ...caller(request),
    };
    // Whatever closed the connection may have run in the context of something else.
    logContext.run({ request_id: request.id }, () =>
      log[level](fields, `${request.method} ${path} ${status} ${ms} ms`),
    );
  });
}

function safeQuery(query: unknown): { query?: Record<string, unknown> } {
  const entries = Object.entries((query ?? {}) as Record<string, unknown>);
  const safe = entries.filter(([key]) => SAFE_QUERY_KEYS.includes(key));
  return safe.length === 0 ? {} : { query: Object.fromEntries(safe) };
}

function caller(request: FastifyRequest): Record<string, unknown> {
  const requester = request.requester as FastifyRequest['requester'] | undefined;
  if (requester === undefined) return {};
  const { originating } = requester;
  const user = originating?.value['user_id'] ?? originating?.value['username'];
  const identity = request.headers['x-broker-api-request-identity'];
  return {
    realm: requester.realm,
    user: requester.username,
    ...(requester.user_id !== undefined && { user_id: requester.user_id }),
    ...(originating === undefined ? {} : { originating: { platform: originating.platform, user } }),
    ...(identity === undefined ? {} : { api_request_identity: identity }),
  };
}
