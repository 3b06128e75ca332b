import { Body, Controller, Delete, Get, Param, Patch, Put, Query, Req, Res } from '@nestjs/common';
import { Change } from '../http/change.js';
import { ApiBasicAuth, ApiHeader, ApiOperation, ApiResponse, ApiTags } from '../http/api-docs.js';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { Realm } from '../auth/realm.js';
import { AcceptedAnswer, EmptyAnswer, ErrorAnswer, InstanceAnswer, LastOperationAnswer } from './answers.dto.js';
import { askOf } from './ask.js';
import { DeprovisionService } from './deprovision.service.js';
import { InstanceQueries } from './instance-queries.service.js';
import { ProvisionService } from './provision.service.js';
import { AsyncQuery, DeleteQuery, LastOperationQuery, ProvisionRequest, UpdateRequest } from './requests.dto.js';
import { UpdateService } from './update.service.js';

/** Only lengthens the platform's own interval. */
const RETRY_AFTER_S = '2';

@ApiTags('Open Service Broker API')
@ApiBasicAuth('platform')
@ApiHeader({ name: 'X-Broker-API-Version', required: true, example: '2.17' })
@ApiResponse({ status: 400, type: ErrorAnswer, description: 'The description names the field and what is allowed' })
@ApiResponse({ status: 401, type: ErrorAnswer })
@ApiResponse({ status: 412, type: ErrorAnswer, description: 'X-Broker-API-Version is missing or not 2.x' })
@ApiResponse({
  status: 503,
  type: ErrorAnswer,
  description: 'The server cannot be reached, or the broker starts or stops',
})
@Controller('v2/service_instances/:instance_id')
@Realm('platform')
export class InstancesController {
  constructor(
    private readonly provisions: ProvisionService,
    private readonly updates: UpdateService,
    private readonly deprovisions: DeprovisionService,
    private readonly queries: InstanceQueries,
  ) {}

  @Put()
  @Change('provision')
  @ApiOperation({ summary: 'Provision: make a database' })
  @ApiResponse({ status: 201, type: EmptyAnswer, description: 'Made' })
  @ApiResponse({ status: 200, type: EmptyAnswer, description: 'An identical one is there' })
  @ApiResponse({ status: 202, type: AcceptedAnswer, description: 'It takes longer' })
  @ApiResponse({ status: 409, type: ErrorAnswer, description: 'The id is taken, with other attributes' })
  @ApiResponse({ status: 422, type: ErrorAnswer, description: 'MaintenanceInfoConflict, ConcurrencyError' })
  @ApiResponse({ status: 507, type: ErrorAnswer, description: 'No server accepts new instances' })
  async provision(
    @Param('instance_id') id: string,
    @Query() query: AsyncQuery,
    @Body() body: ProvisionRequest,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<AcceptedAnswer> {
    const provisioned = await this.provisions.provision(id, body, askOf(request, query));
    if (provisioned.outcome === 'accepted') return accepted(reply, provisioned.operation);
    void reply.status(provisioned.outcome === 'created' ? 201 : 200);
    return {};
  }

  @Patch()
  @Change('update')
  @ApiOperation({ summary: 'Update: plan, parameters, names of the context, maintenance' })
  @ApiResponse({ status: 200, type: EmptyAnswer, description: 'Applied, or nothing to change' })
  @ApiResponse({ status: 202, type: AcceptedAnswer, description: 'It takes longer' })
  @ApiResponse({ status: 404, type: ErrorAnswer })
  @ApiResponse({
    status: 422,
    type: ErrorAnswer,
    description: 'Not supported, MaintenanceInfoConflict, ConcurrencyError',
  })
  async update(
    @Param('instance_id') id: string,
    @Query() query: AsyncQuery,
    @Body() body: UpdateRequest,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<AcceptedAnswer> {
    const updated = await this.updates.update(id, body, askOf(request, query));
    return updated.outcome === 'accepted' ? accepted(reply, updated.operation) : {};
  }

  @Delete()
  @Change('deprovision')
  @ApiOperation({ summary: 'Deprovision: remove the database, its bindings, and end its clients' })
  @ApiResponse({ status: 200, type: EmptyAnswer, description: 'Deleted' })
  @ApiResponse({ status: 202, type: AcceptedAnswer, description: 'It takes longer' })
  @ApiResponse({ status: 410, type: EmptyAnswer, description: 'There is none' })
  @ApiResponse({ status: 422, type: ErrorAnswer, description: 'ConcurrencyError' })
  async deprovision(
    @Param('instance_id') id: string,
    @Query() query: DeleteQuery,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<AcceptedAnswer> {
    const deprovisioned = await this.deprovisions.deprovision(id, query, askOf(request, query));
    return deprovisioned.outcome === 'accepted' ? accepted(reply, deprovisioned.operation) : {};
  }

  @Get()
  @ApiOperation({ summary: 'A service instance' })
  @ApiResponse({ status: 200, type: InstanceAnswer })
  @ApiResponse({ status: 404, type: ErrorAnswer, description: 'There is none, or it is still being made' })
  @ApiResponse({ status: 422, type: ErrorAnswer, description: 'ConcurrencyError: it is being updated or deleted' })
  get(@Param('instance_id') id: string): Promise<InstanceAnswer> {
    return this.queries.instance(id);
  }

  @Get('last_operation')
  @ApiOperation({ summary: 'How its newest operation, or the given one, stands' })
  @ApiResponse({ status: 200, type: LastOperationAnswer, headers: { 'Retry-After': { schema: { type: 'integer' } } } })
  @ApiResponse({ status: 404, type: ErrorAnswer, description: 'There never was one' })
  @ApiResponse({ status: 410, type: EmptyAnswer, description: 'It was deleted a while ago' })
  async lastOperation(
    @Param('instance_id') id: string,
    @Query() query: LastOperationQuery,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<LastOperationAnswer> {
    const answer = await this.queries.lastOperation(id, query.operation);
    void reply.header('retry-after', RETRY_AFTER_S);
    return answer;
  }
}

function accepted(reply: FastifyReply, operation: string): AcceptedAnswer {
  void reply.status(202);
  return { operation };
}
