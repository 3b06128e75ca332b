import { Controller, Get, Param } from '@nestjs/common';
import { Realm } from '../auth/realm.js';
import { UserMay } from '../auth/user-may.js';
import { ApiBasicAuth, ApiOperation, ApiResponse, ApiTags } from '../http/api-docs.js';
import { RestoreOutlookDto } from './restore.dto.js';
import { RestoreService } from './restore.service.js';

@ApiTags('restore')
@ApiBasicAuth('admin')
@Controller('restore_point/:instance_id')
@Realm('admin')
export class RestoreOutlookController {
  constructor(private readonly restores: RestoreService) {}

  @Get()
  @UserMay('read', 'path.instance_id')
  @ApiOperation({
    summary: 'What a restore would replace, and what an undo would put back',
    description: 'For questions that are asked before either is begun.',
    operationId: 'getRestorePoint',
  })
  @ApiResponse({ status: 200, type: RestoreOutlookDto })
  @ApiResponse({ status: 404, description: '`unknown_instance`' })
  @ApiResponse({ status: 503, description: '`server_unreachable`' })
  outlook(@Param('instance_id') id: string): Promise<RestoreOutlookDto> {
    return this.restores.outlook(id);
  }
}
