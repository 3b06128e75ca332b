import { type FastifyInstance, type FastifyRequest } from 'fastify';
import { BrokerError } from '../errors.js';
import { storageFault } from './storable.js';

/** Largest JSON body. */
export const JSON_LIMIT = 1024 * 1024;
const WITH_BODY = new Set(['PUT', 'PATCH', 'POST']);

/**
 * Parses JSON bodies, and nothing else: another content type, or none, is refused where a body is needed. Beyond
 * being well-formed a body must be storable: no NUL, no half of a surrogate pair, no nesting deeper than 64.
 */
export function installBodyParser(fastify: FastifyInstance): void {
  const parseJson = fastify.getDefaultJsonParser('remove', 'remove');
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser(
    /^application\/([\w.+-]+\+)?json(;|$)/i,
    { parseAs: 'buffer', bodyLimit: JSON_LIMIT },
    (request, bytes: Buffer, done) => {
      if (bytes.length === 0 || !WITH_BODY.has(request.method)) return done(null, undefined);
      let text: string;
      try {
        text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
      } catch {
        return done(new BrokerError('invalid_request', 'body: expected JSON in UTF-8'), undefined);
      }
      void parseJson(request, text, (error, value: unknown) => {
        const fault = error ? `body: malformed JSON: ${reason(error)}` : storageFault(value, 'body');
        done(fault === undefined ? null : new BrokerError('invalid_request', fault), value);
      });
    },
  );
  fastify.addHook('preValidation', (request, _reply, done) => done(bodyFault(request)));
}

/** Every body of the Open Service Broker API, and of the admins' JSON calls, is an object. */
function bodyFault(request: FastifyRequest): BrokerError | undefined {
  if (!WITH_BODY.has(request.method) || request.is404) return undefined;
  const { body } = request;
  if (body === undefined && request.method === 'POST') return undefined;
  if (body === undefined)
    return new BrokerError('invalid_request', 'body: expected a JSON object, content-type application/json');
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return undefined;
  return new BrokerError('invalid_request', 'body: expected a JSON object');
}

function reason(error: Error): string {
  return error.message.replace(
    /^Body is not valid JSON but content-type is set to 'application\/json'$/,
    'not valid JSON',
  );
}
