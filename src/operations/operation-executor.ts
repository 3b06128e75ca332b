import { Injectable, Logger } from '@nestjs/common';
import { setTimeout as pause } from 'node:timers/promises';
import { DataSource, type EntityManager } from 'typeorm';
import { BrokerError } from '../errors.js';
import { sacrificed, stateUnreachable } from '../state/state-errors.js';
import { operationError } from './operation-error.js';
import { type OperationContext, type OperationHandler, type Outcome } from './operation-handler.js';
import { OperationQueue } from './operation-queue.js';
import { OperationLostError, type OperationRun, stopError } from './operation-run.js';
import { type Ending, OperationStore } from './operation-store.js';
import { OperationWaiters } from './operation-waiters.js';
import { type OperationMemo, type OperationProgress } from './operation.entity.js';
import { ProgressWriter } from './progress-writer.js';
import { transactionOrNothing } from './transaction-or-nothing.js';

/** Longest undo, in ms; then it counts as one that threw. */
const UNDO_LIMIT_MS = 600_000;

/** Wait between tries of a write that failed of nothing of its own, in ms. */
const RETRY_MS = 500;

export interface Limits {
  /** Since the first start, in ms. */
  deadlineMs: number;
  /** Of one attempt, in ms: no job lives longer. */
  attemptMs: number;
}

const INTERNAL = 'internal error, see the broker log';

/** Brings one attempt to its end: run, undo, abandon, or hand over; each end is one transaction. */
@Injectable()
export class OperationExecutor {
  private readonly logger = new Logger(OperationExecutor.name);

  constructor(
    private readonly dataSource: DataSource,
    private readonly store: OperationStore,
    private readonly queue: OperationQueue,
    private readonly waiters: OperationWaiters,
  ) {}

  /** Never rejects. */
  async execute(run: OperationRun, handler: OperationHandler, limits: Limits): Promise<void> {
    try {
      const failure = await this.attempt(run, handler, limits);
      if (failure !== undefined && !run.released) await this.undo(run, handler, failure.thrown);
      if (run.stopped === 'stopping') await this.handOver(run);
    } catch (error) {
      // The job's beats end with the attempt: it is taken up again, here or elsewhere.
      if (!(error instanceof OperationLostError)) this.log(run, 'broke off, to be taken up again', error);
    }
  }

  /** Gives the operation back to the queue; nothing happens where the attempt does not hold it any more. */
  async handOver(run: OperationRun): Promise<void> {
    const handedOver = await transactionOrNothing(this.dataSource, async (manager) => {
      await this.queue.giveBack(manager, run.operation.kind, run.job);
      return (await this.store.requeue(manager, run)) || undefined;
    });
    if (handedOver) this.logger.log(`${describe(run)} is handed over`);
  }

  /** Undefined: concluded, or lost. */
  private async attempt(run: OperationRun, handler: OperationHandler, { deadlineMs, attemptMs }: Limits) {
    const deadline =
      handler.ownDeadline || run.operation.memo.decided
        ? setTimeout(() => run.stop('stopping'), attemptMs)
        : setTimeout(() => run.stop('timed_out'), Math.max(0, Math.min(deadlineMs, attemptMs) - run.elapsedMs));
    try {
      run.signal.throwIfAborted();
      const outcome = await handler.run(this.context(run));
      if (await this.end(run, ending('succeeded', outcome), outcome.conclude)) return undefined;
      run.stop('cancelled');
      return { thrown: stopError('cancelled') };
    } catch (thrown) {
      return { thrown };
    } finally {
      clearTimeout(deadline);
    }
  }

  private async undo(run: OperationRun, handler: OperationHandler, thrown: unknown): Promise<void> {
    const cancelled = run.stopped === 'cancelled';
    const failure = run.beginUndo(thrown);
    const error = this.errorOf(run, failure);
    const limit = setTimeout(() => run.stop('timed_out'), UNDO_LIMIT_MS);
    try {
      const outcome = (await handler.undo?.(this.context(run), failure)) ?? {};
      if (outcome.happened && (await this.end(run, ending('succeeded', outcome), outcome.conclude))) return;
      await this.end(run, { ...ending(cancelled ? 'cancelled' : 'failed', outcome), error }, outcome.conclude);
    } catch (second) {
      if (run.released) return;
      this.log(run, 'could not be undone', second);
      await this.abandon(run, handler, { state: 'failed', error });
    } finally {
      clearTimeout(limit);
    }
  }

  private async abandon(run: OperationRun, handler: OperationHandler, end: Ending): Promise<void> {
    try {
      await this.end(run, end, async (manager) => handler.abandon?.(run.operation, manager));
    } catch (error) {
      if (run.released) return;
      this.log(run, 'could not be abandoned', error);
      await this.end(run, end);
    }
  }

  /**
   * The end of the operation, the handler's last writes and the job's end in one transaction, tried until the state
   * database answers. False: it is to succeed, but a cancel was accepted before.
   */
  private async end(run: OperationRun, end: Ending, conclude?: (manager: EntityManager) => Promise<void>) {
    const ended = await this.persist(run, () =>
      transactionOrNothing(this.dataSource, async (manager) => {
        // The job may be another attempt's by now: then the operation is too, and nothing of this is kept.
        await this.queue.remove(manager, run.operation.kind, run.id);
        const operation = await this.store.end(manager, run, end);
        if (operation !== undefined) await conclude?.(manager);
        return operation;
      }),
    );
    if (ended !== undefined) {
      this.logger.log(`${describe(run)} ${ended.state}`);
      this.waiters.ended(ended);
      return true;
    }
    const now = await this.persist(run, () => this.store.find(run.id));
    // The COMMIT may have been done though its answer was lost with the connection.
    if (now.attempt === run.attempt && now.runner === run.runner && now.state !== 'queued') {
      if (now.state === 'running') return false;
      this.waiters.ended(now);
      return true;
    }
    run.stop('lost');
    throw new OperationLostError();
  }

  private context(run: OperationRun): OperationContext {
    const writer = new ProgressWriter((progress) => this.store.progress(run, progress));
    return run.context({
      phase: async (name: string, progress: OperationProgress = {}) => {
        await writer.begin();
        await this.hold(run, async () => (await this.store.phase(run, name, progress)) || undefined);
        run.waiting = false;
      },
      progress: (progress) => writer.tell(progress),
      remember: async (patch: OperationMemo) => {
        run.operation.memo = await this.hold(run, () => this.store.remember(run, patch));
      },
      decide: async (patch: OperationMemo) => {
        run.operation.memo = await this.hold(run, () => this.decide(run, patch));
      },
      waiting: async (thrown, nextTryAt) => {
        const error = operationError(thrown);
        await this.hold(run, async () => (await this.store.waiting(run, error, nextTryAt)) || undefined);
        run.waiting = true;
        this.logger.warn(`${describe(run)} waits until ${nextTryAt.toISOString()}: ${error.detail}`);
      },
    });
  }

  /** A write of an attempt that still holds its operation; undefined says that it does not. */
  private async hold<T>(run: OperationRun, write: () => Promise<T | undefined>): Promise<T> {
    if (run.released) throw stopError(run.stopped ?? 'lost');
    const written = await this.persist(run, write);
    if (written !== undefined) return written;
    run.stop('lost');
    throw new OperationLostError();
  }

  private async decide(run: OperationRun, patch: OperationMemo): Promise<OperationMemo | undefined> {
    const memo = await this.store.decide(run, patch);
    if (memo !== undefined) return memo;
    const now = await this.store.find(run.id);
    if (now.attempt !== run.attempt || now.state !== 'running' || !now.cancelRequested) return undefined;
    run.stop('cancelled');
    throw stopError('cancelled');
  }

  /**
   * A state database that is away for a while fails no operation: the write waits for it. Nor does one that gives up
   * this transaction for another one's sake.
   */
  private async persist<T>(run: OperationRun, write: () => Promise<T>): Promise<T> {
    for (;;) {
      if (run.stopped === 'lost') throw new OperationLostError();
      try {
        return await write();
      } catch (error) {
        if (run.released || !(stateUnreachable(error) || sacrificed(error))) throw error;
        await pause(RETRY_MS);
      }
    }
  }

  private errorOf(run: OperationRun, failure: unknown): NonNullable<Ending['error']> {
    if (failure instanceof BrokerError) {
      // Its message only: other members of a driver's error may hold what was sent.
      const because = failure.cause instanceof Error ? ` (${failure.cause.message})` : '';
      this.logger.warn(`${describe(run)} fails: ${failure.message}${because}`);
      return operationError(failure);
    }
    this.log(run, 'failed', failure);
    return { code: 'internal', detail: INTERNAL };
  }

  private log(run: OperationRun, what: string, error: unknown): void {
    // A server that is away, say, is no fault of the broker's, and its stack tells nobody anything.
    if (error instanceof BrokerError)
      return this.logger.warn(`${describe(run)} ${what}: ${error.code}: ${error.message}`);
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.logger.error(`${describe(run)} ${what}`, text);
  }
}

function ending(state: Ending['state'], { result, forget = [] }: Outcome): Ending {
  return { state, forget, ...(result !== undefined && { result }) };
}

function describe({ operation, attempt }: OperationRun): string {
  return `${operation.kind} ${operation.id}, attempt ${attempt},`;
}
