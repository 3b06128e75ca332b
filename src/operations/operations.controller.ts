import { Controller, Delete, Get, HttpCode, Param, Query, Req } from '@nestjs/common';
import { type FastifyRequest } from 'fastify';
import { ApiBasicAuth, ApiOperation, ApiResponse, ApiTags } from '../http/api-docs.js';
import { Realm } from '../auth/realm.js';
import { type Right, type Rights } from '../auth/rights.js';
import { UserMay } from '../auth/user-may.js';
import { OperationDto, operationDto, OperationListDto } from './operation.dto.js';
import { Change } from '../http/change.js';
import { PageQuery } from '../http/page-query.js';
import { unknownOperation } from './operation-store.js';
import { type Operation } from './operation.entity.js';
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
  @UserMay('read', 'query.instance_id')
  @ApiOperation({ summary: 'List operations, newest first', operationId: 'listOperations' })
  @ApiResponse({ status: 200, type: OperationListDto })
  @ApiResponse({ status: 400, description: '`invalid_request`, naming the parameter' })
  async list(
    @Query() { instance_id, limit, after }: PageQuery,
    @Req() { rights }: FastifyRequest,
  ): Promise<OperationListDto> {
    const { operations, next } = await this.operations.list({
      limit: limit ?? DEFAULT_LIMIT,
      ...(instance_id === undefined ? {} : { instanceId: instance_id }),
      ...(after === undefined ? {} : { after }),
    });
    return { operations: await Promise.all(operations.map((each) => shown(each, rights))), next };
  }

  @Get(':id')
  @UserMay('read')
  @ApiOperation({ summary: 'Look at an operation', operationId: 'getOperation' })
  @ApiResponse({ status: 200, type: OperationDto })
  @ApiResponse({ status: 404, description: '`unknown_operation`' })
  async get(@Param('id') id: string, @Req() request: FastifyRequest): Promise<OperationDto> {
    return shown(await this.#open(id, 'read', request), request.rights);
  }

  @Delete(':id')
  @Change('cancel')
  @UserMay('manage')
  @HttpCode(202)
  @ApiOperation({
    summary: 'Cancel an operation',
    description: 'Accepted for one that is queued or running: what it has done is undone, then it is `cancelled`.',
    operationId: 'cancelOperation',
  })
  @ApiResponse({ status: 202, type: OperationDto })
  @ApiResponse({ status: 404, description: '`unknown_operation`' })
  @ApiResponse({ status: 409, description: '`operation_ended`' })
  async cancel(@Param('id') id: string, @Req() request: FastifyRequest): Promise<OperationDto> {
    const operation = await this.#open(id, 'manage', request);
    return operationDto(await this.operations.cancel(operation.id));
  }

  /** Without the right on its instance an operation is as one that does not exist. */
  async #open(id: string, right: Right, { rights, changeFacts }: FastifyRequest): Promise<Operation> {
    const operation = await this.operations.find(id);
    if (operation.instanceId !== '') changeFacts.instanceId = operation.instanceId;
    await rights.assert(right, operation.instanceId, unknownOperation());
    return operation;
  }
}

/** A restore's result tells of a backup, which may be of an instance that the caller may not see: it is left out then. */
async function shown(operation: Operation, rights: Rights): Promise<OperationDto> {
  const dto = operationDto(operation);
  const { backup, ...rest } = dto.result ?? {};
  const source = (backup as { instance_id?: string } | undefined)?.instance_id;
  if (rights.all || source === undefined || source === operation.instanceId) return dto;
  const open = await rights.assert('read', source).then(
    () => true,
    () => false,
  );
  return open ? dto : { ...dto, result: rest };
}
