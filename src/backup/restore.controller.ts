import { Controller, HttpCode, Param, Post, Query, Req, Res } from '@nestjs/common';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { Realm } from '../auth/realm.js';
import { UserMay } from '../auth/user-may.js';
import { Change } from '../http/change.js';
import { ApiBasicAuth, ApiHeader, ApiOperation, ApiResponse, ApiTags } from '../http/api-docs.js';
import { OperationDto } from '../operations/operation.dto.js';
import { callerOf } from './backup.controller.js';
import { type LongAnswer, LongCall } from './long-call.js';
import { RestoredDto, RestoreQuery } from './restore.dto.js';
import { RestoreService } from './restore.service.js';

@ApiTags('restore')
@ApiBasicAuth('admin')
@ApiHeader({ name: 'Prefer', required: false, example: 'respond-async', description: 'Answers 202 at once.' })
@ApiResponse({
  status: 202,
  type: OperationDto,
  description: 'It takes longer',
  headers: { Location: { description: 'The operation', schema: { type: 'string' } } },
})
@ApiResponse({ status: 400, description: '`invalid_request`, `unknown_storage`' })
@ApiResponse({ status: 409, description: '`operation_in_progress`, `database_in_use`, `cancelled`, `conflict`' })
@Controller()
@Realm('admin')
export class RestoreController {
  constructor(
    private readonly restores: RestoreService,
    private readonly long: LongCall,
  ) {}

  @Post('restore_instance/:instance_id/:backup_name')
  @Change('restore')
  @UserMay('manage', 'path.instance_id', 'query.from')
  @HttpCode(200)
  @ApiResponse({ status: 200, type: RestoredDto, description: 'Done' })
  @ApiOperation({
    summary: 'Restore a backup: whole, or not at all',
    description:
      'The backup becomes a database beside the living one, is verified, and takes its place. Until then the living one is not touched. `latest` stands for the newest backup.',
    operationId: 'restoreInstance',
  })
  @ApiResponse({ status: 404, description: '`unknown_instance`, `unknown_backup`, `archive_missing`' })
  @ApiResponse({
    status: 422,
    description:
      '`archive_invalid`, `archive_damaged`, `archive_too_new`, `archive_rejected`, `restore_failed`, `verification_failed`: nothing has changed',
  })
  @ApiResponse({
    status: 502,
    description: '`storage_unreachable`, `storage_denied`, `storage_missing`, `storage_failed`',
  })
  @ApiResponse({ status: 507, description: '`server_full`, `spool_full`' })
  async restore(
    @Param('instance_id') id: string,
    @Param('backup_name') name: string,
    @Query() query: RestoreQuery,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<LongAnswer> {
    return this.long.answer(await this.restores.restore(id, name, query, callerOf(request)), request, reply, 200);
  }

  @Post('undo_restore/:instance_id')
  @Change('undo_restore')
  @UserMay('manage', 'path.instance_id')
  @HttpCode(200)
  @ApiResponse({ status: 200, type: RestoredDto, description: 'Done' })
  @ApiOperation({
    summary: 'Undo the last restore',
    description: 'Puts the restore point back in place; what it replaces is the restore point from then on.',
    operationId: 'undoRestore',
  })
  @ApiResponse({ status: 404, description: '`unknown_instance`, `no_restore_point`' })
  async undo(
    @Param('instance_id') id: string,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<LongAnswer> {
    return this.long.answer(await this.restores.undo(id, callerOf(request)), request, reply, 200);
  }
}
