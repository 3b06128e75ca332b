import { Column, CreateDateColumn, Entity, PrimaryColumn } from 'typeorm';
import { type Requester } from '../auth/requester.js';
import { type OperationError } from './operation-error.js';

export type OperationState = 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled';
export const OPERATION_KINDS = [
  'provision',
  'update',
  'deprovision',
  'backup',
  'restore',
  'undo_restore',
  'upload',
  'delete_backup',
  'rescan',
] as const;
export type OperationKind = (typeof OPERATION_KINDS)[number];

export interface OperationProgress {
  bytes?: number;
  total_bytes?: number;
  percent?: number;
  eta_ms?: number;
}

/**
 * What a handler has written down for the attempts that follow. The keys `node` and `node_until` bind the operation to
 * one node.
 */
export interface OperationMemo {
  /** Only this node goes on with it, as what it needs lies there; null: any. */
  node?: string | null;
  /** RFC 3339: from then on any node takes it, to end it. So does any node once a cancel was accepted. */
  node_until?: string | null;
  /** It has ended, and something of it is still to be removed. */
  left?: boolean;
  /** Until then one broker alone removes it. */
  left_until?: string;
  /** It can no longer be cancelled, nor be too late: what was begun is brought to its end. */
  decided?: true | null;
  [key: string]: unknown;
}

/**
 * One piece of durable work on an instance. This table is the truth; pg-boss only executes. At most one operation
 * of an instance is queued or running: the partial unique index `operation_active_instance` decides.
 */
@Entity('operation')
export class Operation {
  @PrimaryColumn('uuid') id: string;
  @Column('text') kind: OperationKind;
  /** Empty where the work is on no instance. */
  @Column('text') instanceId: string;
  @Column('text') state: OperationState;
  /** The step that runs now, by the kind's own names; null before the first. */
  @Column('text', { nullable: true }) phase: string | null;
  @Column('jsonb') progress: OperationProgress;
  /** What the handler needs besides the instance; never a secret. */
  @Column('jsonb') input: Record<string, unknown>;
  /** Working data of the handler; never a secret, never shown. */
  @Column('jsonb') memo: OperationMemo;
  @Column('jsonb', { nullable: true }) result: Record<string, unknown> | null;
  @Column('jsonb', { nullable: true }) error: OperationError | null;
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
