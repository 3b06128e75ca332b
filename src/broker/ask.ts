import { type FastifyRequest } from 'fastify';
import { type Requester } from '../auth/requester.js';

/** Who asks, and how. */
export interface Ask {
  requestedBy: Requester;
  requestId: string;
  /** Whether the platform takes a 202. */
  acceptsIncomplete: boolean;
}

export function askOf(request: FastifyRequest, query: { accepts_incomplete?: string } = {}): Ask {
  return {
    requestedBy: request.requester,
    requestId: request.id,
    acceptsIncomplete: query.accepts_incomplete === 'true',
  };
}
