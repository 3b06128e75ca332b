import { Controller, Get, Res } from '@nestjs/common';
import { type FastifyReply } from 'fastify';
import { Realm } from '../auth/realm.js';
import { Lifecycle } from '../http/lifecycle.js';
import { StateDatabase } from '../state/state-database.js';

@Controller()
@Realm('public')
export class HealthController {
  constructor(
    private readonly lifecycle: Lifecycle,
    private readonly state: StateDatabase,
  ) {}

  /** The process is alive, whatever it can reach. */
  @Get('healthz')
  alive() {
    return { status: 'ok' };
  }

  /** 200 when calls can succeed: started, the state database answers, and at least one server does. */
  @Get('readyz')
  async ready(@Res({ passthrough: true }) reply: FastifyReply) {
    const { state } = this.lifecycle;
    if (state !== 'ready') {
      reply.status(503);
      return { status: state };
    }
    const reachable = await this.state.ping().then(
      () => true,
      () => false,
    );
    const ok = reachable;
    reply.status(ok ? 200 : 503).header('cache-control', 'no-store');
    return { status: ok ? 'ready' : 'unavailable', state: { reachable }, servers: [] };
  }
}
