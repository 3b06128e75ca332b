import { type FastifyInstance, type FastifyRequest } from 'fastify';
import { type Logger } from 'pino';
import { type AskedChange, type Outcome } from './audit-record.js';
import { type AuditStore } from './audit-store.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Of the audit record, once it is entered. */
    auditId?: string;
  }
}

/**
 * What of path and query says what a change is about, and the most characters of it. Nothing else of a request is kept,
 * nor what is longer than it can be: a token that somebody has put in a wrong place is.
 */
const TARGETS = { backup_name: 128, binding_id: 255, storage: 63, from: 255 };
const HUNG_UP = 499;
const REFUSALS = new Set(['forbidden', 'unknown_instance', 'controller_unreachable']);

/**
 * Every change leaves a record: entered before anything is done, so that none happens without one, and completed before
 * the answer goes out. What is refused to a known caller for lack of a right is entered at its refusal.
 */
export function installAudit(fastify: FastifyInstance, store: AuditStore, log: Logger): void {
  fastify.addHook('onRequest', async (request, reply) => {
    const asked = askedChange(request);
    if (asked === undefined) return;
    request.auditId = await store.enter(asked);
    reply.raw.once('close', () => {
      if (!reply.raw.writableFinished) void complete(request, HUNG_UP);
    });
  });
  fastify.addHook('onSend', async (request, reply) => {
    const asked = askedChange(request);
    if (asked === undefined || (request.auditId === undefined && !isRefusal(request))) return;
    await complete(request, reply.statusCode, asked);
    write(asked, outcomeOf(request, reply.statusCode), log);
  });

  /** Only the log is left where the state database is away. */
  async function complete(request: FastifyRequest, status: number, asked?: AskedChange): Promise<void> {
    try {
      if (asked !== undefined) request.auditId ??= await store.enter(asked);
      if (request.auditId !== undefined) await store.complete(request.auditId, outcomeOf(request, status));
    } catch (error) {
      log.error({ err: error, request_id: request.id }, 'the outcome of a change could not be entered in the audit');
    }
  }
}

function askedChange(request: FastifyRequest): AskedChange | undefined {
  const { change } = request.routeOptions.config ?? {};
  const requester = request.requester as FastifyRequest['requester'] | undefined;
  if (change === undefined || requester === undefined) return undefined;
  const given = { ...(request.query as object), ...(request.params as object) } as Record<string, string | undefined>;
  const target = Object.fromEntries(
    Object.entries(TARGETS).flatMap(([key, most]) => {
      const value = given[key];
      return value === undefined || value.length > most ? [] : [[key, value]];
    }),
  );
  return {
    change,
    instanceId: given['instance_id'] ?? null,
    target: {
      ...target,
      ...(change === 'cancel' && { operation_id: given['id'] ?? '' }),
      ...(change === 'rescan' && { storage: given['name'] ?? '' }),
    },
    requestedBy: requester,
    address: request.ip,
    requestId: request.id,
  };
}

/** Of one that never came to its handler. */
function isRefusal({ errorCode }: FastifyRequest): boolean {
  return REFUSALS.has(errorCode ?? '');
}

function outcomeOf({ errorCode, changeFacts }: FastifyRequest, status: number): Outcome {
  return {
    status,
    code: errorCode ?? null,
    operationId: changeFacts.operationId ?? null,
    instanceId: changeFacts.instanceId ?? null,
  };
}

function write(asked: AskedChange, outcome: Outcome, log: Logger): void {
  const { change, requestedBy, address, target } = asked;
  const instance = outcome.instanceId ?? asked.instanceId;
  const who = requestedBy.username ?? requestedBy.realm;
  const { status, code, operationId } = outcome;
  log.info(
    {
      audit: {
        change,
        instance_id: instance,
        target,
        requested_by: requestedBy,
        address,
        status,
        code,
        operation_id: operationId,
      },
    },
    `audit: ${change}${instance === null ? '' : ` of ${instance}`} by ${who}: ${code ?? status}`,
  );
}
