import { Controller, Get, Query } from '@nestjs/common';
import { Realm } from '../auth/realm.js';
import { ApiBasicAuth, ApiOperation, ApiResponse, ApiTags } from '../http/api-docs.js';
import { PageQuery } from '../http/page-query.js';
import { AuditListDto, auditRecordDto } from './audit.dto.js';
import { AuditStore } from './audit-store.js';

const DEFAULT_LIMIT = 100;

@ApiTags('audit')
@ApiBasicAuth('admin')
@Realm('admin')
@Controller('audit')
export class AuditController {
  constructor(private readonly store: AuditStore) {}

  @Get()
  @ApiOperation({
    summary: 'List who asked for which change, newest first',
    description:
      'Changes of both APIs and downloads; also those that were refused for lack of a right. Those of an instance include restores of its backups into others.',
    operationId: 'listAuditRecords',
  })
  @ApiResponse({ status: 200, type: AuditListDto })
  @ApiResponse({ status: 400, description: '`invalid_request`, naming the parameter' })
  async list(@Query() { instance_id: instanceId, limit = DEFAULT_LIMIT, after }: PageQuery): Promise<AuditListDto> {
    const { records, next } = await this.store.list({ instanceId, limit, after });
    return { records: records.map(auditRecordDto), next };
  }
}
