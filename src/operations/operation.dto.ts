import { ApiProperty, ApiPropertyOptional } from '../http/api-docs.js';
import { type ErrorCode, STATUS_OF } from '../errors.js';
import { type OperationError } from './operation-error.js';
import { type Requester } from '../auth/requester.js';
import {
  type Operation,
  OPERATION_KINDS,
  type OperationKind,
  type OperationProgress,
  type OperationState,
} from './operation.entity.js';

const STATES: OperationState[] = ['queued', 'running', 'succeeded', 'failed', 'cancelled'];

class ProgressDto {
  @ApiPropertyOptional() bytes?: number;
  @ApiPropertyOptional() total_bytes?: number;
  @ApiPropertyOptional() percent?: number;
  @ApiPropertyOptional() eta_ms?: number;
}

class OperationErrorDto {
  @ApiProperty({ enum: Object.keys(STATUS_OF) }) code: ErrorCode;
  @ApiProperty() detail: string;
  @ApiPropertyOptional({ type: [String], description: 'With `restore_failed`: each of them.' }) errors?: string[];
  @ApiPropertyOptional({ type: [String], description: 'With `verification_failed`.' }) differences?: string[];
  @ApiPropertyOptional({ description: 'With `spool_full` and `server_full`, where it is known.' })
  missing_bytes?: number;
  @ApiPropertyOptional({ description: 'With `storage_unreachable`: the broker node that reaches it.' }) node?: string;
  @ApiPropertyOptional({ description: 'With `too_large`, where it is known.' }) max_bytes?: number;
}

/** An operation as the API gives it: snake_case, times in RFC 3339 and UTC. */
export class OperationDto {
  @ApiProperty({ format: 'uuid' }) id: string;
  @ApiProperty({ enum: OPERATION_KINDS }) kind: OperationKind;
  @ApiProperty({ description: 'Empty for work on a storage.' }) instance_id: string;
  @ApiProperty({ enum: STATES }) state: OperationState;
  @ApiProperty({ type: String, nullable: true, description: 'The step that runs now, or ran last.' })
  phase: string | null;
  @ApiProperty({ type: ProgressDto }) progress: OperationProgress;
  @ApiProperty({ description: 'Number of starts so far: more than one after a crash or a hand-over.' })
  attempt: number;
  @ApiPropertyOptional({ format: 'date-time' }) next_try_at?: string;
  @ApiPropertyOptional({ type: OperationErrorDto }) error?: OperationError;
  @ApiPropertyOptional({ type: 'object', additionalProperties: true }) result?: Record<string, unknown>;
  @ApiProperty({ type: 'object', additionalProperties: true, description: 'Who asked for it: realm and user.' })
  requested_by: Requester;
  @ApiProperty() request_id: string;
  @ApiProperty({ format: 'date-time' }) created_at: string;
  @ApiProperty({ type: String, format: 'date-time', nullable: true }) started_at: string | null;
  @ApiProperty({ type: String, format: 'date-time', nullable: true }) finished_at: string | null;
}

export class OperationListDto {
  @ApiProperty({ type: [OperationDto], description: 'Newest first.' }) operations: OperationDto[];
  @ApiProperty({ type: String, nullable: true, description: '`after` of the next page; null at the end.' })
  next: string | null;
}

export function operationDto(operation: Operation): OperationDto {
  return {
    id: operation.id,
    kind: operation.kind,
    instance_id: operation.instanceId,
    state: operation.state,
    phase: operation.phase,
    progress: operation.progress,
    attempt: operation.attempt,
    ...(operation.nextTryAt === null ? {} : { next_try_at: operation.nextTryAt.toISOString() }),
    ...(operation.error === null ? {} : { error: operation.error }),
    ...(operation.result === null ? {} : { result: operation.result }),
    requested_by: operation.requestedBy,
    request_id: operation.requestId,
    created_at: operation.createdAt.toISOString(),
    started_at: operation.startedAt?.toISOString() ?? null,
    finished_at: operation.finishedAt?.toISOString() ?? null,
  };
}
