import { type EntityManager } from 'typeorm';
import { type BrokerError } from '../errors.js';
import { type Operation, type OperationKind, type OperationMemo, type OperationProgress } from './operation.entity.js';

/** What a handler is given. */
export interface OperationContext {
  readonly operation: Operation;
  /**
   * `node/process` of the broker whose attempt broke off, where this one goes on after a crash: its sessions on the
   * servers may still be at work. Null at the first attempt and after an orderly hand-over.
   */
  readonly formerRunner: string | null;
  /** Aborted on cancel, at the deadline, on shut-down, and when another broker took the operation over. */
  readonly signal: AbortSignal;
  /** Records the phase (and progress); rejects when this attempt no longer holds the operation. */
  readonly phase: (name: string, progress?: OperationProgress) => Promise<void>;
  /** Shows where the work is within its phase, about once a second; never rejects. */
  readonly progress: (progress: OperationProgress) => void;
  /**
   * Lays the keys over `operation.memo`, durably: for what must be found again after a crash, written down before it
   * is made. Rejects as `phase` does.
   */
  readonly remember: (patch: OperationMemo) => Promise<void>;
  /**
   * As `remember`, at the point of no return: from then on no cancel is accepted and no deadline counts. Rejects with
   * `cancelled` where a cancel was faster.
   */
  readonly decide: (patch: OperationMemo) => Promise<void>;
  /**
   * Shows the last error and when the next try is, until the next `phase`. Meanwhile a heavy operation counts as a
   * light one. Rejects as `phase` does.
   */
  readonly waiting: (error: BrokerError, nextTryAt: Date) => Promise<void>;
}

/** How a run or an undo ends. */
export interface Outcome {
  result?: Record<string, unknown>;
  /** Of an undo that has found the work done, beyond recall: the operation has succeeded. */
  happened?: true;
  /** Keys of the memo that nobody needs any more. */
  forget?: string[];
  /** The last writes to the state database, in the one transaction that also marks the operation as ended. */
  conclude?: (manager: EntityManager) => Promise<void>;
}

/**
 * The work of one kind of operation. `run` may start again from the beginning on any broker after a crash, so every
 * step of it must be repeatable. Whatever it throws fails the operation after `undo` (a `BrokerError` with its code
 * and message, anything else as `internal`); a cancel aborts the signal, then `undo` runs, then it is `cancelled`,
 * also where `run` had not begun yet or ended well in spite of it.
 */
export interface OperationHandler {
  readonly kind: OperationKind;
  /** Moves much data: at most `operations.parallel` of all such kinds together run on a broker. */
  readonly heavy?: true;
  /** Its pace is that of a caller who sends: it takes no place of others. */
  readonly unmetered?: true;
  /** Brokers that are no workers do it too, as what it needs is there. */
  readonly everywhere?: true;
  /**
   * It keeps its own deadline instead of `operations.deadline`. An attempt that gets too long for the queue is handed
   * over in between.
   */
  readonly ownDeadline?: true;
  run(context: OperationContext): Promise<Outcome>;
  /**
   * Removes what a failed or cancelled `run` has left; repeatable; its signal is a new one. If it throws, the
   * operation ends as failed all the same, with the first error. Absent: nothing to remove.
   */
  undo?(context: OperationContext, reason: unknown): Promise<Outcome>;
  /** After `undo` threw: the writes that say what is left to be cleaned later, with the operation's end. */
  abandon?(operation: Operation, manager: EntityManager): Promise<void>;
}
