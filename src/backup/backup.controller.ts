import { Controller, Delete, Get, Param, Post, Query, Req, Res } from '@nestjs/common';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { Realm } from '../auth/realm.js';
import { UserMay } from '../auth/user-may.js';
import { Change } from '../http/change.js';
import { ApiBasicAuth, ApiHeader, ApiOperation, ApiResponse, ApiTags } from '../http/api-docs.js';
import { OperationDto } from '../operations/operation.dto.js';
import { BackupLook } from './backup-look.js';
import { BackupDto, backupDto, BackupListDto, MakeBackupQuery, RescanDto, StorageQuery } from './backup.dto.js';
import { BackupService, type Caller } from './backup.service.js';
import { tagOf } from './download.service.js';
import { type LongAnswer, LongCall } from './long-call.js';

const PREFER = { name: 'Prefer', required: false, description: '`respond-async`: answers 202 at once (RFC 7240).' };
const ACCEPTED = {
  status: 202,
  type: OperationDto,
  description: 'The work goes on: asked for, or not done within `http.sync_wait`',
  headers: { Location: { description: 'The operation.', schema: { type: 'string' as const } } },
};

@ApiTags('backups')
@ApiBasicAuth('admin')
@Realm('admin')
@Controller()
export class BackupController {
  constructor(
    private readonly backups: BackupService,
    private readonly look: BackupLook,
    private readonly calls: LongCall,
  ) {}

  @Post('backup_instance/:instance_id')
  @Change('backup')
  @UserMay('manage', 'path.instance_id')
  @ApiOperation({ summary: 'Make a backup of an instance', operationId: 'makeBackup' })
  @ApiHeader(PREFER)
  @ApiResponse({ status: 201, type: BackupDto, description: 'Made' })
  @ApiResponse(ACCEPTED)
  @ApiResponse({ status: 400, description: '`invalid_request`, `unknown_storage` with the known ones' })
  @ApiResponse({ status: 404, description: '`unknown_instance`' })
  @ApiResponse({ status: 409, description: '`backup_exists`, `operation_in_progress`, `conflict`, `cancelled`' })
  @ApiResponse({ status: 422, description: '`dump_failed`, with what pg_dump says' })
  @ApiResponse({
    status: 502,
    description: '`storage_unreachable`, `storage_denied`, `storage_missing`, `storage_failed`',
  })
  @ApiResponse({ status: 507, description: '`spool_full`, `storage_full`: how much is missing' })
  async make(
    @Param('instance_id') instanceId: string,
    @Query() query: MakeBackupQuery,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<LongAnswer> {
    const operation = await this.backups.make(instanceId, query, callerOf(request));
    return this.calls.answer(operation, request, reply, 201);
  }

  @Get('backups/:instance_id')
  @UserMay('read', 'path.instance_id')
  @ApiOperation({ summary: 'List the backups of an instance, newest first', operationId: 'listBackups' })
  @ApiResponse({ status: 200, type: BackupListDto })
  @ApiResponse({ status: 400, description: '`unknown_storage` with the known ones' })
  @ApiResponse({ status: 404, description: '`unknown_instance`: there is none, and no backup of one' })
  @ApiResponse({ status: 502, description: 'The named storage cannot be asked: `storage_unreachable` and its like' })
  async list(@Param('instance_id') instanceId: string, @Query() { storage }: StorageQuery): Promise<BackupListDto> {
    const { backups, warnings } = await this.look.list(instanceId, storage);
    return { backups: backups.map(backupDto), warnings };
  }

  @Get('backups/:instance_id/:backup_name')
  @UserMay('read', 'path.instance_id')
  @ApiOperation({ summary: 'Look at a backup; `latest` is the newest', operationId: 'getBackup' })
  @ApiResponse({
    status: 200,
    type: BackupDto,
    headers: { ETag: { description: 'For `If-Match`.', schema: { type: 'string' } } },
  })
  @ApiResponse({ status: 400, description: '`unknown_storage` with the known ones' })
  @ApiResponse({ status: 404, description: '`unknown_backup`' })
  @ApiResponse({ status: 502, description: 'Its storage cannot be asked: `storage_unreachable` and its like' })
  async get(
    @Param('instance_id') instanceId: string,
    @Param('backup_name') name: string,
    @Query() { storage }: StorageQuery,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<BackupDto> {
    const backup = await this.look.one(instanceId, name, storage);
    void reply.header('etag', tagOf(backup));
    return backupDto(backup);
  }

  @Delete('backups/:instance_id/:backup_name')
  @Change('delete_backup')
  @UserMay('manage', 'path.instance_id')
  @ApiOperation({ summary: 'Delete a backup', operationId: 'deleteBackup' })
  @ApiHeader(PREFER)
  @ApiHeader({ name: 'If-Match', required: false, description: 'Only if the backup has this entity tag.' })
  @ApiResponse({ status: 200, type: BackupDto, description: 'Deleted; `operation_id` is that of the deletion' })
  @ApiResponse(ACCEPTED)
  @ApiResponse({ status: 400, description: '`invalid_request` for `latest`, `unknown_storage`' })
  @ApiResponse({ status: 404, description: '`unknown_backup`' })
  @ApiResponse({ status: 409, description: '`operation_in_progress`, `cancelled`' })
  @ApiResponse({ status: 412, description: '`precondition_failed`: it has another entity tag' })
  @ApiResponse({
    status: 502,
    description: '`storage_unreachable`, `storage_denied`, `storage_missing`, `storage_failed`',
  })
  async delete(
    @Param('instance_id') instanceId: string,
    @Param('backup_name') name: string,
    @Query() { storage }: StorageQuery,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<LongAnswer> {
    const ifMatch = request.headers['if-match'];
    const operation = await this.backups.delete(instanceId, name, { storage, ifMatch }, callerOf(request));
    return this.calls.answer(operation, request, reply, 200);
  }

  @Post('storages/:name/rescan')
  @Change('rescan')
  @ApiOperation({
    summary: 'Rebuild the catalogue from the manifests in a storage',
    description: 'Nothing in the storage is changed. Backups of instances that are unknown here are entered too.',
    operationId: 'rescanStorage',
  })
  @ApiHeader(PREFER)
  @ApiResponse({ status: 200, type: RescanDto })
  @ApiResponse(ACCEPTED)
  @ApiResponse({ status: 400, description: '`unknown_storage` with the known ones' })
  @ApiResponse({ status: 409, description: '`operation_in_progress`: another rescan runs; `cancelled`' })
  @ApiResponse({
    status: 502,
    description: '`storage_unreachable`, `storage_denied`, `storage_missing`, `storage_failed`',
  })
  async rescan(
    @Param('name') name: string,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<LongAnswer> {
    const operation = await this.backups.rescan(name, callerOf(request));
    return this.calls.answer(operation, request, reply, 200);
  }
}

export function callerOf(request: FastifyRequest): Caller {
  return { requestedBy: request.requester, requestId: request.id };
}
