import { Controller, Delete, Get, HttpCode, Param, Query } from '@nestjs/common';
import { ApiBasicAuth, ApiOperation, ApiResponse, ApiTags } from '../http/api-docs.js';
import { Realm } from '../auth/realm.js';
import { ListOperationsQuery, OperationDto, operationDto, OperationListDto } from './operation.dto.js';
import { OperationsService } from './operations.service.js';

const DEFAULT_LIMIT = 100;

@ApiTags('operations')
@ApiBasicAuth('admin')
@ApiResponse({ status: 401, description: '`unauthenticated`' })
@Realm('admin')
@Controller('operations')
export class OperationsController {
  constructor(private readonly operations: OperationsService) {}

  @Get()
  @ApiOperation({ summary: 'List operations, newest first', operationId: 'listOperations' })
  @ApiResponse({ status: 200, type: OperationListDto })
  @ApiResponse({ status: 400, description: '`invalid_request`, naming the parameter' })
  async list(@Query() { instance_id, limit, after }: ListOperationsQuery): Promise<OperationListDto> {
    const { operations, next } = await this.operations.list({
      limit: limit ?? DEFAULT_LIMIT,
      ...(instance_id === undefined ? {} : { instanceId: instance_id }),
      ...(after === undefined ? {} : { after }),
    });
    return { operations: operations.map(operationDto), next };
  }

  @Get(':id')
  @ApiOperation({ summary: 'Look at an operation', operationId: 'getOperation' })
  @ApiResponse({ status: 200, type: OperationDto })
  @ApiResponse({ status: 404, description: '`unknown_operation`' })
  async get(@Param('id') id: string): Promise<OperationDto> {
    return operationDto(await this.operations.find(id));
  }

  @Delete(':id')
  @HttpCode(202)
  @ApiOperation({
    summary: 'Cancel an operation',
    description: 'Accepted for one that is queued or running: what it has done is undone, then it is `cancelled`.',
    operationId: 'cancelOperation',
  })
  @ApiResponse({ status: 202, type: OperationDto })
  @ApiResponse({ status: 404, description: '`unknown_operation`' })
  @ApiResponse({ status: 409, description: '`operation_ended`' })
  async cancel(@Param('id') id: string): Promise<OperationDto> {
    return operationDto(await this.operations.cancel(id));
  }
}
