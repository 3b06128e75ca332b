import { Column, CreateDateColumn, Entity, PrimaryColumn } from 'typeorm';
import { type Requester } from '../auth/requester.js';
import { type ErrorCode } from '../errors.js';

export type OperationState = 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled';
export type OperationKind = 'provision' | 'update' | 'deprovision';

export interface OperationProgress {
  bytes?: number;
  total_bytes?: number;
  percent?: number;
  eta_ms?: number;
}

/**
 * One piece of durable work on an instance. This table is the truth; pg-boss only executes. At most one operation
 * of an instance is queued or running: the partial unique index `operation_active_instance` decides.
 */
@Entity('operation')
export class Operation {
  @PrimaryColumn('uuid') id: string;
  @Column('text') kind: OperationKind;
  @Column('text') instanceId: string;
  @Column('text') state: OperationState;
  /** The step that runs now, by the kind's own names; null before the first. */
  @Column('text', { nullable: true }) phase: string | null;
  @Column('jsonb') progress: OperationProgress;
  /** What the handler needs besides the instance; never a secret. */
  @Column('jsonb') input: Record<string, unknown>;
  @Column('jsonb', { nullable: true }) result: Record<string, unknown> | null;
  @Column('jsonb', { nullable: true }) error: { code: ErrorCode; detail: string } | null;
  /** Number of starts so far; every write of a running handler is fenced by it. */
  @Column('int') attempt: number;
  /** `node/process` of the broker that runs it now. */
  @Column('text', { nullable: true }) runner: string | null;
  @Column('boolean') cancelRequested: boolean;
  @Column('jsonb') requestedBy: Requester;
  @Column('text') requestId: string;
  @CreateDateColumn({ type: 'timestamptz' }) createdAt: Date;
  @Column('timestamptz', { nullable: true }) startedAt: Date | null;
  @Column('timestamptz', { nullable: true }) finishedAt: Date | null;
  @Column('timestamptz', { nullable: true }) nextTryAt: Date | null;
}
