import { Inject, Injectable } from '@nestjs/common';
import { BROKER_CONFIG } from '../config/config.module.js';
import { type BrokerConfig } from '../config/schema.js';
import { BrokerError, type ErrorCode } from '../errors.js';
import { type Operation } from '../operations/operation.entity.js';
import { OperationsService } from '../operations/operations.service.js';
import { type Ask, PATIENCE_MS } from './ask.js';

const TAKE_BACK_MS = 3_000;
const RETRY_AFTER_S = 10;

/** How a call's operation stands when the call is answered. */
export interface Settled {
  operation: Operation;
  /** False: it goes on, and the answer is 202. */
  done: boolean;
}

/**
 * Waits for operations as the platform wants it: most are done within the wait and answered synchronously, since a
 * Cloud Controller polls only once a minute.
 */
@Injectable()
export class OperationWait {
  readonly #asyncWaitMs: number;

  constructor(
    private readonly operations: OperationsService,
    @Inject(BROKER_CONFIG) config: BrokerConfig,
  ) {
    this.#asyncWaitMs = Math.min(config.http.sync_wait, PATIENCE_MS);
  }

  /**
   * Waits for an operation that this very call began. Where the platform does not take a 202 and the work is not
   * done in time, it is taken back.
   * @throws BrokerError with the operation's code where it fails, `timed_out` where it took too long
   */
  async own(operation: Operation, ask: Ask): Promise<Settled> {
    const settled = await this.#settled(operation, ask);
    if (settled.done || ask.acceptsIncomplete) return settled;
    return this.#takeBack(operation);
  }

  /**
   * Waits for an operation that another call began.
   * @throws BrokerError with the operation's code where it fails, `concurrency` where it goes on and no 202 is taken
   */
  async joined(operation: Operation, ask: Ask): Promise<Settled> {
    const settled = await this.#settled(operation, ask);
    if (settled.done || ask.acceptsIncomplete) return settled;
    throw new BrokerError('concurrency', `the ${operation.kind} of this service instance is still in progress`);
  }

  /** Halts an operation and waits until what it made is taken back, or it has ended otherwise. */
  halted(operation: Operation, ask: Ask): Promise<Operation> {
    return this.#halted(operation, Math.min(this.#asyncWaitMs, leftOf(ask)));
  }

  async #halted(operation: Operation, withinMs: number): Promise<Operation> {
    try {
      await this.operations.cancel(operation.id);
    } catch (error) {
      if (!(error instanceof BrokerError && error.code === 'operation_ended')) throw error;
    }
    return this.operations.settled(operation.id, withinMs);
  }

  async #settled(operation: Operation, ask: Ask): Promise<Settled> {
    const waitMs = ask.acceptsIncomplete ? this.#asyncWaitMs : PATIENCE_MS;
    return judged(await this.operations.settled(operation.id, Math.min(waitMs, leftOf(ask))));
  }

  async #takeBack(operation: Operation): Promise<Settled> {
    const settled = await this.#halted(operation, TAKE_BACK_MS);
    if (settled.state === 'succeeded') return { operation: settled, done: true };
    if (this.operations.isStopping)
      throw new BrokerError('stopping', `the broker is stopping, the ${operation.kind} is taken back`, {
        retryAfter: RETRY_AFTER_S,
      });
    throw new BrokerError(
      'timed_out',
      `the ${operation.kind} was not done within ${PATIENCE_MS / 1000} s and is taken back; with accepts_incomplete=true it may take longer`,
    );
  }
}

/** What the waits before have left of the call's time, in ms. */
function leftOf({ until }: Ask): number {
  return Math.max(0, until - performance.now());
}

function judged(operation: Operation): Settled {
  switch (operation.state) {
    case 'queued':
    case 'running':
      return { operation, done: false };
    case 'succeeded':
      return { operation, done: true };
    case 'cancelled':
      throw new BrokerError('cancelled', `the ${operation.kind} of this service instance was cancelled`);
    case 'failed':
      throw failure(operation);
  }
}

function failure({ kind, error }: Operation): BrokerError {
  const code: ErrorCode = error?.code ?? 'internal';
  return new BrokerError(code, error?.detail ?? `the ${kind} failed`, {
    ...(code === 'server_unreachable' && { retryAfter: RETRY_AFTER_S }),
  });
}
