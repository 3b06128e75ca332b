import { BrokerError } from '../errors.js';
import { type OperationContext } from './operation-handler.js';
import { type Job } from './operation-queue.js';
import { type Claimed, type Hold } from './operation-store.js';
import { type Operation } from './operation.entity.js';

/** Why a run was told to end before it was done. `lost`: another attempt holds the operation now, or may soon. */
export type Stop = 'cancelled' | 'timed_out' | 'stopping' | 'lost';

const WORDS: Record<Exclude<Stop, 'lost'>, string> = {
  cancelled: 'the operation was cancelled',
  timed_out: 'the operation took too long',
  stopping: 'the broker is stopping',
};

/** What the signal of a run that lost its operation carries, and what its further writes reject with. */
export class OperationLostError extends Error {
  override readonly name = 'OperationLostError';
  constructor() {
    super('another attempt holds the operation');
  }
}

/** One attempt of an operation on this broker. */
export class OperationRun implements Hold {
  readonly operation: Operation;
  readonly attempt: number;
  readonly runner: string;
  readonly formerRunner: string | null;
  readonly elapsedMs: number;
  /** Resolves when nothing of this attempt is at work any more. */
  done: Promise<void> = Promise.resolve();
  private controller = new AbortController();
  private reason: Stop | undefined;
  private undoing = false;
  /** It waits for its next try, and takes no place of the heavy ones. */
  waiting = false;

  constructor(
    claimed: Claimed,
    readonly job: Job,
    runner: string,
  ) {
    this.operation = claimed.operation;
    this.attempt = claimed.operation.attempt;
    this.runner = runner;
    this.formerRunner = claimed.formerRunner;
    this.elapsedMs = claimed.elapsedMs;
    if (claimed.operation.cancelRequested) this.stop('cancelled');
  }

  get id(): string {
    return this.operation.id;
  }

  get stopped(): Stop | undefined {
    return this.reason;
  }

  /** Aborted once this attempt must neither write nor wait: lost, or to be handed over. */
  get released(): boolean {
    return this.reason === 'lost' || this.reason === 'stopping';
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** The first reason stands, but losing the operation and shutting down go before a cancel or the deadline. */
  stop(reason: Stop): void {
    if (this.reason === 'lost') return;
    const released = reason === 'lost' || reason === 'stopping';
    const tooLongUndo = this.undoing && reason === 'timed_out';
    if (!released && !tooLongUndo && (this.undoing || this.reason !== undefined)) return;
    if (!tooLongUndo) this.reason = reason;
    this.controller.abort(stopError(reason));
  }

  /** A fresh signal for the undo. Returns what the run failed of. */
  beginUndo(thrown: unknown): unknown {
    const failure = this.reason === undefined ? thrown : stopError(this.reason);
    this.undoing = true;
    this.controller = new AbortController();
    return failure;
  }

  context(writes: Pick<OperationContext, 'phase' | 'progress' | 'remember' | 'decide' | 'waiting'>): OperationContext {
    const { operation, formerRunner, signal } = this;
    return { operation, formerRunner, signal, ...writes };
  }
}

export function stopError(reason: Stop): Error {
  return reason === 'lost' ? new OperationLostError() : new BrokerError(reason, WORDS[reason]);
}
