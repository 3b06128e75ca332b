import { type FastifyRequest } from 'fastify';
import { type Requester } from '../auth/requester.js';

/** Who asks, and how. */
export interface Ask {
  requestedBy: Requester;
  requestId: string;
  /** Whether the platform takes a 202. */
  acceptsIncomplete: boolean;
  /** When the call is to be answered at the latest, by `performance.now()`. */
  until: number;
}

/** The Cloud Controller gives up after 60 s; what is left is for taking the work back and for the way. */
export const PATIENCE_MS = 55_000;

export function askOf(request: FastifyRequest, query: { accepts_incomplete?: string } = {}): Ask {
  return {
    requestedBy: request.requester,
    requestId: request.id,
    acceptsIncomplete: query.accepts_incomplete === 'true',
    until: performance.now() + PATIENCE_MS,
  };
}
