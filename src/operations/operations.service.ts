import { Inject, Injectable, Logger } from '@nestjs/common';
import { setTimeout as pause } from 'node:timers/promises';
import { DataSource, type EntityManager } from 'typeorm';
import { BROKER_CONFIG } from '../config/config.module.js';
import { type BrokerConfig } from '../config/schema.js';
import { BrokerError } from '../errors.js';
import { changeFacts } from '../http/change.js';
import { stateUnreachable, violates } from '../state/state-errors.js';
import { type OperationHandler } from './operation-handler.js';
import { OperationQueue } from './operation-queue.js';
import { OperationRunner } from './operation-runner.js';
import { type NewOperation, type OperationList, OperationStore } from './operation-store.js';
import { OperationWaiters } from './operation-waiters.js';
import { type Operation, type OperationKind } from './operation.entity.js';

/** Tries of a `begin` whose rival ended between the refusal and the look at it. */
const BEGIN_TRIES = 5;

/** Durable work on instances: begun in one transaction with the asker's own writes, done by any broker, waited for. */
@Injectable()
export class OperationsService {
  private readonly logger = new Logger(OperationsService.name);
  private stopping = false;

  constructor(
    @Inject(BROKER_CONFIG) private readonly config: BrokerConfig,
    private readonly dataSource: DataSource,
    private readonly store: OperationStore,
    private readonly queue: OperationQueue,
    private readonly runner: OperationRunner,
    private readonly waiters: OperationWaiters,
  ) {}

  /** Whether it takes no new work any more; what it waits for may then not end here. */
  get isStopping(): boolean {
    return this.stopping;
  }

  /** Registers the work of a kind, before `start`. Kinds that no broker has registered stay queued. */
  handle(handler: OperationHandler): void {
    this.runner.handle(handler);
  }

  /** After the state database is connected. Tries until the database answers; rejects when the signal aborts. */
  async start(signal?: AbortSignal): Promise<void> {
    await this.untilReached(() => this.queue.start(this.runner.kinds), signal);
    await this.untilReached(() => this.runner.start(), signal);
    this.waiters.start();
  }

  /**
   * Takes no new work, gives running work `operations.grace`, aborts the rest and hands it over: it is queued again at
   * once, for another broker or the next start.
   */
  async stop(): Promise<void> {
    this.stopping = true;
    await this.runner.stop(this.config.operations.grace);
    this.waiters.stop();
    await this.queue.stop();
  }

  /**
   * Begins an operation: its row, the writes of `together` and the job in one transaction. What `together` throws
   * passes through, and nothing is written.
   * @throws {BrokerError} `operation_in_progress` with `operation_id` in the details; `stopping`
   */
  async begin(ask: NewOperation, together?: (manager: EntityManager) => Promise<void>): Promise<Operation> {
    for (let attempt = 1; ; attempt++) {
      if (this.stopping) throw new BrokerError('stopping', 'the broker is stopping');
      try {
        return await this.tryBegin(ask, together);
      } catch (error) {
        if (!violates(error, 'operation_active_instance')) throw error;
        const rival = await this.store.active(ask.instanceId);
        if (rival !== null || attempt === BEGIN_TRIES) throw inProgress(rival, error);
      }
    }
  }

  /**
   * The operation once it has ended, or as it is after `withinMs` or when the signal aborts. Work of this broker is
   * seen at once, another's within half a second.
   * @throws {BrokerError} `unknown_operation`
   */
  settled(id: string, withinMs: number, signal?: AbortSignal): Promise<Operation> {
    return this.waiters.settled(id, withinMs, signal);
  }

  /**
   * Asks for the end of an operation, queued or running, on whichever broker: it is undone, then `cancelled`.
   * Returns before that is done.
   * @throws {BrokerError} `unknown_operation`, `operation_ended`
   */
  async cancel(id: string): Promise<Operation> {
    const operation = await this.store.requestCancel(id);
    if (operation === undefined) {
      const { state } = await this.store.find(id);
      const ended = state !== 'queued' && state !== 'running';
      const why = ended
        ? `the operation has ended already: ${state}`
        : 'it is too late: the operation is being completed';
      throw new BrokerError('operation_ended', why);
    }
    this.runner.cancelled(operation);
    if (typeof operation.memo.node === 'string') await this.openToAll(operation);
    return operation;
  }

  /** @throws {BrokerError} `unknown_operation` */
  find(id: string): Promise<Operation> {
    return this.store.find(id);
  }

  /** The one that is queued or running. */
  active(instanceId: string): Promise<Operation | null> {
    return this.store.active(instanceId);
  }

  /** The newest one, of one of the kinds where they are given. */
  latest(instanceId: string, kinds?: readonly OperationKind[]): Promise<Operation | null> {
    return this.store.latest(instanceId, kinds);
  }

  /** All that are queued or running, oldest first. */
  unended(): Promise<Operation[]> {
    return this.store.unended();
  }

  /**
   * Newest first; `after` is the `next` of the page before.
   * @throws {BrokerError} `invalid_request` where `after` is no operation
   */
  list(ask: { instanceId?: string; limit: number; after?: string }): Promise<OperationList> {
    return this.store.list(ask);
  }

  /** Its node may be away, and its job thrown away by another one. */
  private async openToAll(operation: Operation): Promise<void> {
    await this.queue.ensure(operation.kind);
    await this.dataSource.transaction((manager) => this.queue.enqueue(manager, operation));
    this.runner.wake(operation.kind);
  }

  private async tryBegin(ask: NewOperation, together?: (manager: EntityManager) => Promise<void>): Promise<Operation> {
    await this.queue.ensure(ask.kind);
    const operation = await this.dataSource.transaction(async (manager) => {
      const inserted = await this.store.insert(manager, ask);
      await together?.(manager);
      await this.queue.enqueue(manager, inserted);
      return inserted;
    });
    const facts = changeFacts.getStore();
    if (facts !== undefined) facts.operationId ??= operation.id;
    this.runner.wake(operation.kind);
    return operation;
  }

  private async untilReached(step: () => Promise<void>, signal: AbortSignal | undefined): Promise<void> {
    for (;;) {
      signal?.throwIfAborted();
      try {
        return await step();
      } catch (error) {
        if (!stateUnreachable(error)) throw error;
        this.logger.warn('the state database cannot be reached, next try in 1 s');
        await pause(1_000, undefined, { ...(signal !== undefined && { signal }) });
      }
    }
  }
}

function inProgress(rival: Operation | null, cause: unknown): BrokerError {
  const details = rival === null ? {} : { operation_id: rival.id };
  const what = rival === null ? 'another operation' : `a ${rival.kind}`;
  return new BrokerError('operation_in_progress', `${what} of this instance is in progress`, { details, cause });
}
