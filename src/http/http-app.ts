import 'reflect-metadata';
import helmet from '@fastify/helmet';
import { type DynamicModule } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { type FastifyError, type FastifyReply, type FastifyRequest, type FastifyServerOptions } from 'fastify';
import { type Logger } from 'pino';
import { Callers } from '../auth/callers.js';
import { type BrokerConfig } from '../config/schema.js';
import { logAccess } from './access-log.js';
import { JSON_LIMIT, installBodyParser } from './body-parser.js';
import { clientErrorHandler } from './client-error.js';
import { Lifecycle } from './lifecycle.js';
import { FrameworkLog } from './log.js';
import { ApiDescription } from './openapi.controller.js';
import { ProblemFilter, answerError } from './problem.filter.js';
import { authorizationsOf, installRequestHooks } from './request-hooks.js';
import { requestIdOf } from './request-id.js';
import { KnownRoutes } from './routes.js';
import { installStreamedBodies } from './streamed-body.js';
import { isPlatformPath } from './request-path.js';
import { readTls } from './tls.js';
import { createValidationPipe } from './validation.js';

/** An id of 255 characters, each of up to four bytes, each byte percent-encoded. */
const MAX_ENCODED_ID = 255 * 4 * 3;

/** Longest time for a request's headers to arrive, in ms; streamed-body.ts limits that of its body. */
const HEADERS_TIMEOUT = 20_000;

/** Longer than the Gorouter keeps an idle connection (90 s), so that it never uses one that was just closed. */
const KEEP_ALIVE_TIMEOUT = 95_000;

/** The application over `module`, with everything that all routes have in common; it does not listen yet. */
export async function createHttpApp(
  module: DynamicModule,
  config: BrokerConfig['http'],
  log: Logger,
): Promise<NestFastifyApplication> {
  // Made with the application, which needs its server first.
  const doors: { callers?: Callers } = {};
  const adapter = new FastifyAdapter(serverOptions(config, log, doors));
  const app = await NestFactory.create<NestFastifyApplication>(module, adapter, {
    bodyParser: false,
    abortOnError: false,
    logger: new FrameworkLog(log),
  });
  const fastify = app.getHttpAdapter().getInstance();
  const routes = new KnownRoutes();
  routes.watch(fastify);
  fastify.server.headersTimeout = HEADERS_TIMEOUT;
  await app.register(helmet, {
    hsts: config.tls !== undefined,
    contentSecurityPolicy: { directives: { defaultSrc: ["'none'"] }, useDefaults: false },
  });
  const callers = (doors.callers = app.get(Callers, { strict: false }));
  installRequestHooks(fastify, { log, routes, lifecycle: app.get(Lifecycle), callers });
  installBodyParser(fastify);
  installStreamedBodies(fastify);
  app.useGlobalFilters(new ProblemFilter(log));
  app.useGlobalPipes(createValidationPipe());
  app.get(ApiDescription).describe(app, routes);
  return app;
}

function serverOptions(
  config: BrokerConfig['http'],
  log: Logger,
  doors: { callers?: Callers },
): FastifyServerOptions & object {
  return {
    ...(config.tls === undefined ? {} : { https: readTls(config.tls) }),
    trustProxy: config.trusted_proxies.length === 0 ? false : [...config.trusted_proxies],
    bodyLimit: JSON_LIMIT,
    requestTimeout: 0,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT,
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    requestIdHeader: false,
    genReqId: (request) => requestIdOf(request.headers),
    routerOptions: { maxParamLength: MAX_ENCODED_ID },
    clientErrorHandler: clientErrorHandler(log),
    frameworkErrors: (error: FastifyError, request: FastifyRequest, reply: FastifyReply) => {
      // Such a path meets none of the hooks.
      reply.header('x-request-id', request.id).header('cache-control', 'no-store');
      logAccess(request, reply, log);
      const realm = isPlatformPath(request.url) ? 'platform' : 'admin';
      void doors.callers?.identify(realm, authorizationsOf(request), request.ip).then(
        () => answerError(error, request, reply, log),
        (refusal) => answerError(refusal, request, reply, log, realm),
      );
    },
  };
}
