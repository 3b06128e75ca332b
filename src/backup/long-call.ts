import { Inject, Injectable } from '@nestjs/common';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { BROKER_CONFIG } from '../config/config.module.js';
import { type BrokerConfig } from '../config/schema.js';
import { BrokerError } from '../errors.js';
import { type OperationDto, operationDto } from '../operations/operation.dto.js';
import { type Operation } from '../operations/operation.entity.js';
import { OperationsService } from '../operations/operations.service.js';

/** The result of the work with `operation_id`, or the operation where it goes on. */
export type LongAnswer = Record<string, unknown> | OperationDto;

/**
 * Calls that answer when their work is done. `Prefer: respond-async` (RFC 7240) answers 202 at once, as does a wait
 * beyond `http.sync_wait`: `Location` names the operation. The work goes on when the client hangs up.
 */
@Injectable()
export class LongCall {
  constructor(
    private readonly operations: OperationsService,
    @Inject(BROKER_CONFIG) private readonly config: BrokerConfig,
  ) {}

  /**
   * @param status of the answer when the work is done
   * @throws BrokerError with the operation's code where it failed, `cancelled` where it was; `operation_id` in the details
   */
  async answer(
    operation: Operation,
    request: FastifyRequest,
    reply: FastifyReply,
    status: number,
  ): Promise<LongAnswer> {
    const preference = preferenceOf(request.headers['prefer']);
    if (preference.applied !== undefined) reply.header('preference-applied', preference.applied);
    const waitMs = Math.min(this.config.http.sync_wait, preference.waitMs);
    const settled = await this.operations.settled(operation.id, waitMs, hungUp(reply));
    switch (settled.state) {
      case 'queued':
      case 'running':
        return accepted(settled, reply);
      case 'succeeded':
        // Who wants no wait is told of the operation, also where it has ended by now.
        if (waitMs === 0) return accepted(settled, reply);
        void reply.status(status);
        return { ...settled.result, operation_id: settled.id };
      case 'cancelled':
      case 'failed':
        throw failureOf(settled);
    }
  }
}

function accepted(operation: Operation, reply: FastifyReply): OperationDto {
  void reply.status(202).header('location', `/operations/${operation.id}`);
  return operationDto(operation);
}

/** What a failed or cancelled operation is to the caller who waited for it. */
function failureOf({ id, kind, state, error }: Operation): BrokerError {
  if (state === 'cancelled')
    return new BrokerError('cancelled', `the ${kind} was cancelled`, { details: { operation_id: id } });
  const { code, detail, ...details } = error ?? { code: 'internal', detail: `the ${kind} failed` };
  return new BrokerError(code, detail, {
    details: { ...details, operation_id: id },
    ...(code === 'server_unreachable' && { retryAfter: 10 }),
  });
}

/** `respond-async`, and `wait=N` in seconds, of RFC 7240. */
export function preferenceOf(header: string | string[] | undefined): { waitMs: number; applied?: string } {
  const preferences = [header ?? []]
    .flat()
    .join(',')
    .split(',')
    .map((each) => each.split(';')[0]?.trim().toLowerCase() ?? '');
  const wait = preferences
    .map((each) => /^wait\s*=\s*"?(\d{1,6})"?$/.exec(each)?.[1])
    .find((each) => each !== undefined);
  const isAsync = preferences.includes('respond-async');
  if (wait !== undefined)
    return { waitMs: Number(wait) * 1000, applied: isAsync ? `respond-async, wait=${wait}` : `wait=${wait}` };
  return isAsync ? { waitMs: 0, applied: 'respond-async' } : { waitMs: Infinity };
}

/** Nobody waits any more once the connection is gone. */
function hungUp(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  return gone.signal;
}
