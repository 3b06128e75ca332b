import { Body, Controller, Delete, Get, Param, Put, Query, Res } from '@nestjs/common';
import { Change } from '../http/change.js';
import { ApiBasicAuth, ApiHeader, ApiOperation, ApiResponse, ApiTags } from '../http/api-docs.js';
import { type FastifyReply } from 'fastify';
import { Realm } from '../auth/realm.js';
import { BindingAnswer, EmptyAnswer, ErrorAnswer, LastOperationAnswer, RetrievedBindingAnswer } from './answers.dto.js';
import { BindService } from './bind.service.js';
import { BindingAnswers } from './binding-answers.js';
import { AsyncQuery, BindRequest, DeleteQuery, LastOperationQuery } from './requests.dto.js';
import { UnbindService } from './unbind.service.js';

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
@Controller('v2/service_instances/:instance_id/service_bindings/:binding_id')
@Realm('platform')
export class BindingsController {
  constructor(
    private readonly binds: BindService,
    private readonly unbinds: UnbindService,
    private readonly answers: BindingAnswers,
  ) {}

  @Put()
  @Change('bind')
  @ApiOperation({ summary: 'Bind: make a login role and hand out its credentials' })
  @ApiResponse({ status: 201, type: BindingAnswer, description: 'Made' })
  @ApiResponse({ status: 200, type: BindingAnswer, description: 'An identical one is there' })
  @ApiResponse({ status: 404, type: ErrorAnswer, description: 'There is no such service instance' })
  @ApiResponse({ status: 409, type: ErrorAnswer, description: 'The id is taken, with other attributes' })
  @ApiResponse({ status: 422, type: ErrorAnswer, description: 'ConcurrencyError: the instance is at work' })
  async bind(
    @Param('instance_id') instanceId: string,
    @Param('binding_id') id: string,
    @Query() _query: AsyncQuery,
    @Body() body: BindRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<BindingAnswer> {
    const bound = await this.binds.bind(instanceId, id, body);
    void reply.status(bound.created ? 201 : 200);
    return this.answers.of(bound);
  }

  @Delete()
  @Change('unbind')
  @ApiOperation({ summary: 'Unbind: remove the login role, and end its clients' })
  @ApiResponse({ status: 200, type: EmptyAnswer, description: 'Removed' })
  @ApiResponse({ status: 410, type: EmptyAnswer, description: 'There is none' })
  @ApiResponse({ status: 422, type: ErrorAnswer, description: 'ConcurrencyError: the instance is at work' })
  async unbind(
    @Param('instance_id') instanceId: string,
    @Param('binding_id') id: string,
    @Query() query: DeleteQuery,
  ): Promise<EmptyAnswer> {
    await this.unbinds.unbind(instanceId, id, query);
    return {};
  }

  @Get()
  @ApiOperation({ summary: 'A binding, with its credentials' })
  @ApiResponse({ status: 200, type: RetrievedBindingAnswer })
  @ApiResponse({ status: 404, type: ErrorAnswer, description: 'There is none, or it is still being made' })
  get(@Param('instance_id') instanceId: string, @Param('binding_id') id: string): Promise<RetrievedBindingAnswer> {
    return this.answers.retrieved(instanceId, id);
  }

  @Get('last_operation')
  @ApiOperation({ summary: 'How a binding stands' })
  @ApiResponse({ status: 200, type: LastOperationAnswer, headers: { 'Retry-After': { schema: { type: 'integer' } } } })
  @ApiResponse({ status: 404, type: ErrorAnswer, description: 'There is none' })
  async lastOperation(
    @Param('instance_id') instanceId: string,
    @Param('binding_id') id: string,
    @Query() _query: LastOperationQuery,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<LastOperationAnswer> {
    const answer = await this.answers.lastOperation(instanceId, id);
    void reply.header('retry-after', RETRY_AFTER_S);
    return answer;
  }
}
