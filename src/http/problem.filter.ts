import { type ArgumentsHost, Catch, type ExceptionFilter } from '@nestjs/common';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { type Logger } from 'pino';
import { type ErrorCode } from '../errors.js';
import { answerTo, isForeseen } from './problem.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Of the error that it is answered with. */
    errorCode?: ErrorCode;
  }
}

/** Answers every error that a hook, a parser or a handler throws; what nobody foresaw is logged with its stack. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(private readonly log: Logger) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    answerError(error, http.getRequest<FastifyRequest>(), http.getResponse<FastifyReply>(), this.log);
  }
}

export function answerError(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  log: Logger,
  realm = request.is404 ? undefined : request.routeOptions.config.realm,
): void {
  if (!isForeseen(error)) log.error({ err: error, request_id: request.id }, 'unexpected error');
  if (reply.sent || reply.raw.headersSent) return;
  const answer = answerTo(error, { requestId: request.id, url: request.url, realm });
  request.errorCode = answer.code;
  void reply.code(answer.status).headers(answer.headers).send(JSON.stringify(answer.body));
}
