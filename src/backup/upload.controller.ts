import { Controller, HttpCode, Param, Post, Put, Query, Req, Res } from '@nestjs/common';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { Realm } from '../auth/realm.js';
import { UserMay } from '../auth/user-may.js';
import { Change } from '../http/change.js';
import { ApiBasicAuth, ApiBody, ApiConsumes, ApiHeader, ApiOperation, ApiResponse, ApiTags } from '../http/api-docs.js';
import { acceptBody, StreamedBody } from '../http/streamed-body.js';
import { OperationDto } from '../operations/operation.dto.js';
import { callerOf } from './backup.controller.js';
import { StorageQuery } from './backup.dto.js';
import { type LongAnswer, LongCall } from './long-call.js';
import { UploadedDto } from './upload.dto.js';
import { UploadService } from './upload.service.js';

@ApiTags('backups')
@ApiBasicAuth('admin')
@ApiHeader({ name: 'Content-Digest', required: false, description: 'sha-256 of the archive (RFC 9530).' })
@ApiHeader({ name: 'Prefer', required: false, description: '`respond-async`: answers 202 once the archive has come.' })
@ApiResponse({
  status: 202,
  type: OperationDto,
  description: 'The archive has come; the work goes on',
  headers: { Location: { description: 'The operation.', schema: { type: 'string' } } },
})
@ApiResponse({ status: 400, description: '`invalid_request`, `unknown_storage`, `digest_mismatch`' })
@ApiResponse({ status: 404, description: '`unknown_instance`' })
@ApiResponse({ status: 409, description: '`backup_exists`, `operation_in_progress`, `conflict`, `cancelled`' })
@ApiResponse({ status: 413, description: '`too_large`' })
@ApiResponse({ status: 415, description: '`unsupported_media_type`' })
@ApiResponse({
  status: 422,
  description: '`archive_invalid`, `archive_damaged`, `archive_too_new`, `archive_rejected`: the reason stands in it',
})
@ApiResponse({
  status: 502,
  description: '`storage_unreachable`, `storage_denied`, `storage_missing`, `storage_failed`',
})
@ApiResponse({ status: 507, description: '`spool_full`, `storage_full`' })
@Realm('admin')
@Controller('upload_backup/:instance_id/:backup_name')
export class UploadController {
  constructor(
    private readonly uploads: UploadService,
    private readonly calls: LongCall,
  ) {}

  @Put()
  @Change('upload')
  @UserMay('manage', 'path.instance_id')
  @HttpCode(201)
  @StreamedBody()
  @ApiResponse({ status: 201, type: UploadedDto, description: 'Stored' })
  @ApiConsumes('application/octet-stream')
  @ApiBody({ description: 'The archive: pg_dump -Fc.', schema: { type: 'string', format: 'binary' } })
  @ApiOperation({ summary: 'Upload an archive as a backup', operationId: 'uploadBackup' })
  put(
    @Param('instance_id') instanceId: string,
    @Param('backup_name') name: string,
    @Query() { storage }: StorageQuery,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<LongAnswer> {
    return this.#upload({ instanceId, name, storage }, request, reply);
  }

  @Post()
  @Change('upload')
  @UserMay('manage', 'path.instance_id')
  @HttpCode(201)
  @StreamedBody()
  @ApiResponse({ status: 201, type: UploadedDto, description: 'Stored' })
  @ApiConsumes('application/octet-stream')
  @ApiBody({ description: 'The archive: pg_dump -Fc.', schema: { type: 'string', format: 'binary' } })
  @ApiOperation({ summary: 'The same as PUT', operationId: 'postBackup' })
  post(
    @Param('instance_id') instanceId: string,
    @Param('backup_name') name: string,
    @Query() { storage }: StorageQuery,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<LongAnswer> {
    return this.#upload({ instanceId, name, storage }, request, reply);
  }

  async #upload(
    ask: { instanceId: string; name: string; storage: string | undefined },
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<LongAnswer> {
    const accept = () => acceptBody(request, reply);
    const operation = await this.uploads.upload(ask, request, accept, callerOf(request));
    return this.calls.answer(operation, request, reply, 201);
  }
}
