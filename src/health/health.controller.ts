import { Controller, Get, Res } from '@nestjs/common';
import { type FastifyReply } from 'fastify';
import { Realm } from '../auth/realm.js';
import { ApiOperation, ApiResponse, ApiTags } from '../http/api-docs.js';
import { Lifecycle } from '../http/lifecycle.js';
import { PostgresServers } from '../postgres/postgres-servers.js';
import { StateDatabase } from '../state/state-database.js';

const READINESS = {
  type: 'object',
  required: ['status'],
  properties: {
    status: { type: 'string', enum: ['ready', 'unavailable', 'starting', 'stopping'] },
    state: {
      type: 'object',
      description: 'The state database.',
      properties: { reachable: { type: 'boolean' } },
    },
    servers: {
      type: 'array',
      items: {
        type: 'object',
        required: ['name', 'reachable', 'accepts_new'],
        properties: {
          name: { type: 'string', example: 'default' },
          reachable: { type: 'boolean' },
          accepts_new: { type: 'boolean', description: 'Whether new instances go there.' },
          error: {
            type: 'string',
            description: 'Why it is not reachable, or takes no new instances though it is configured to.',
          },
          warnings: { type: 'array', items: { type: 'string' }, description: 'What its operator should put right.' },
        },
      },
    },
  },
};

@ApiTags('health')
@Controller()
@Realm('public')
export class HealthController {
  constructor(
    private readonly lifecycle: Lifecycle,
    private readonly state: StateDatabase,
    private readonly servers: PostgresServers,
  ) {}

  /** The process is alive, whatever it can reach. */
  @Get('healthz')
  @ApiOperation({ summary: 'Is the process alive?', operationId: 'alive' })
  @ApiResponse({ status: 200, description: 'Yes.', schema: { type: 'object', example: { status: 'ok' } } })
  alive() {
    return { status: 'ok' };
  }

  /** 200 when calls can succeed: started, the state database answers, and so does at least one server. */
  @Get('readyz')
  @ApiOperation({ summary: 'Can calls succeed?', operationId: 'ready' })
  @ApiResponse({ status: 200, description: 'Yes.', schema: READINESS })
  @ApiResponse({ status: 503, description: 'Not now.', schema: READINESS })
  async ready(@Res({ passthrough: true }) reply: FastifyReply) {
    reply.header('cache-control', 'no-store');
    const { state } = this.lifecycle;
    if (state !== 'ready') {
      reply.status(503);
      return { status: state };
    }
    const [reachable, health] = await Promise.all([this.#stateAnswers(), this.servers.health()]);
    const ready = reachable && health.some((server) => server.reachable);
    reply.status(ready ? 200 : 503);
    return {
      status: ready ? 'ready' : 'unavailable',
      state: { reachable },
      servers: health.map(({ version: _, ...server }) => server),
    };
  }

  #stateAnswers(): Promise<boolean> {
    return this.state.ping().then(
      () => true,
      () => false,
    );
  }
}
