import { type Operation, type OperationKind, type OperationProgress } from './operation.entity.js';

/** What a handler is given. */
export interface OperationContext {
  readonly operation: Operation;
  /** Aborted on cancel, on shut-down, and when another broker took the operation over. */
  readonly signal: AbortSignal;
  /** Records the phase (and progress); rejects when this attempt no longer holds the operation. */
  phase(name: string, progress?: OperationProgress): Promise<void>;
}

/**
 * The work of one kind of operation. `run` may start again from the beginning on any broker after a crash, so every
 * step of it must be repeatable. A thrown `BrokerError` of code `server_unreachable` or any error that is not a
 * `BrokerError` fails the operation after `undo`; so does a cancel.
 */
export interface OperationHandler {
  readonly kind: OperationKind;
  run(context: OperationContext): Promise<Record<string, unknown>>;
  /** Removes what a failed or cancelled `run` has left; repeatable. Absent: nothing to remove. */
  undo?(context: OperationContext, reason: unknown): Promise<void>;
}
