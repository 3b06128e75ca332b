import { type Requester } from '../auth/requester.js';
import { ApiProperty } from '../http/api-docs.js';
import { CHANGES, type ChangeName } from '../http/change.js';
import { type AuditRecord } from './audit-record.js';

class AuditRecordDto {
  @ApiProperty({ format: 'uuid' }) id: string;
  @ApiProperty({ enum: CHANGES }) change: ChangeName;
  @ApiProperty({ type: String, nullable: true, description: 'The service instance that it concerns.' })
  instance_id: string | null;
  @ApiProperty({
    type: 'object',
    additionalProperties: { type: 'string' },
    description: 'What else was named: `backup_name`, `binding_id`, `storage`, `operation_id`, `from`.',
  })
  target: Record<string, string>;
  @ApiProperty({ type: 'object', additionalProperties: true, description: 'Who asked for it: realm and user.' })
  requested_by: Requester;
  @ApiProperty({ description: 'Where the request came from.' }) address: string;
  @ApiProperty() request_id: string;
  @ApiProperty({
    type: 'integer',
    nullable: true,
    description:
      'Of the answer; 499 where the caller was gone before its end; null where the broker ended before it answered.',
  })
  status: number | null;
  @ApiProperty({ type: String, nullable: true, description: 'Of an error.' }) code: string | null;
  @ApiProperty({
    type: String,
    format: 'uuid',
    nullable: true,
    description: 'The operation that was begun. How it ended stands in the operation.',
  })
  operation_id: string | null;
  @ApiProperty({ format: 'date-time' }) asked_at: string;
  @ApiProperty({ type: String, format: 'date-time', nullable: true }) answered_at: string | null;
}

export class AuditListDto {
  @ApiProperty({ type: [AuditRecordDto], description: 'Newest first.' }) records: AuditRecordDto[];
  @ApiProperty({ type: String, nullable: true, description: '`after` of the next page; null at the end.' })
  next: string | null;
}

export function auditRecordDto(record: AuditRecord): AuditRecordDto {
  return {
    id: record.id,
    change: record.change,
    instance_id: record.instanceId,
    target: record.target,
    requested_by: record.requestedBy,
    address: record.address,
    request_id: record.requestId,
    status: record.status,
    code: record.code,
    operation_id: record.operationId,
    asked_at: record.askedAt.toISOString(),
    answered_at: record.answeredAt?.toISOString() ?? null,
  };
}
