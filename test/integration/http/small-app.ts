import { randomBytes } from 'node:crypto';
import { Body, Controller, Delete, Get, HttpCode, Module, Param, Patch, Post, Put, Query, Req } from '@nestjs/common';
import { type NestFastifyApplication } from '@nestjs/platform-fastify';
import { IsNotEmpty, IsOptional, IsString } from 'class-validator';
import { type FastifyRequest } from 'fastify';
import { Realm } from '../../../src/auth/realm.js';
import { BrokerConfigModule } from '../../../src/config/config.module.js';
import { type BrokerConfig, configSchema } from '../../../src/config/schema.js';
import { BrokerError } from '../../../src/errors.js';
import { createHttpApp } from '../../../src/http/http-app.js';
import { HttpModule } from '../../../src/http/http.module.js';
import { Lifecycle } from '../../../src/http/lifecycle.js';
import { createLog } from '../../../src/http/log.js';
import { StreamedBody } from '../../../src/http/streamed-body.js';
import { HttpClient } from '../../support/client.js';

export const draw = () => randomBytes(12).toString('hex');

/** Ends the calls of `/slow` that are running. */
export const slow: (() => void)[] = [];

class ThingBody {
  @IsString({ message: 'expected a text' }) @IsNotEmpty({ message: 'expected a text' }) service_id!: string;
  @IsOptional() @IsString({ message: 'expected a text' }) note?: string;
}

/** Stands for the Open Service Broker API. */
@Controller('v2')
@Realm('platform')
class PlatformController {
  @Get('catalog')
  catalog() {
    return { services: [] };
  }

  @Put('service_instances/:instance_id')
  @HttpCode(201)
  provision(@Param('instance_id') id: string, @Body() body: ThingBody, @Req() request: FastifyRequest) {
    return { id, body, requester: request.requester };
  }

  @Patch('service_instances/:instance_id')
  update(@Body() body: ThingBody) {
    return { body };
  }

  @Delete('service_instances/:instance_id')
  remove(@Query() query: Record<string, string>) {
    return { query };
  }

  @Get('errors/:code')
  fail(@Param('code') code: string) {
    if (code === 'unexpected') throw new Error('SELECT secret FROM somewhere failed');
    throw new BrokerError(code as BrokerError['code'], `met ${code}`, {
      details: { operation_id: 'o', instance_usable: false },
      retryAfter: 7,
    });
  }
}

@Controller()
@Realm('admin')
class AdminController {
  @Get('things/:id')
  thing(@Param('id') id: string, @Req() request: FastifyRequest) {
    return { id, address: request.ip, requester: request.requester };
  }

  @Post('things/:id')
  @HttpCode(200)
  post(@Body() body: unknown) {
    return { body: body ?? null };
  }

  @Get('errors/:code')
  fail(@Param('code') code: string) {
    if (code === 'unexpected') throw new Error('SELECT secret FROM somewhere failed');
    throw new BrokerError(code as BrokerError['code'], `met ${code}`, {
      details: { operation_id: 'o' },
      retryAfter: 7,
    });
  }

  /** Refuses before it has read the body. */
  @Put('streams/:id')
  @StreamedBody()
  refuse() {
    throw new BrokerError('unknown_instance', 'there is no such instance');
  }

  /** Answers when `slow` is released. */
  @Get('slow')
  async slow() {
    await new Promise<void>((resolve) => slow.push(resolve));
    return { slow: true };
  }

  @Realm('public')
  @Get('open')
  open() {
    return {};
  }
}

@Controller('closed')
class ClosedController {
  @Get()
  closed() {
    return {};
  }
}

@Module({ imports: [HttpModule], controllers: [PlatformController, AdminController, ClosedController] })
class SmallModule {}

export interface SmallApp {
  app: NestFastifyApplication;
  url: string;
  lifecycle: Lifecycle;
  log: Record<string, unknown>[];
  platform: HttpClient;
  admin: HttpClient;
}

export const PASSWORDS = { platform: [draw(), draw()], admin: [draw()] };

/** The broker's HTTP side over a few controllers, ready, on a port of its own. */
export async function startSmallApp(http: Record<string, unknown> = {}): Promise<SmallApp> {
  const config = smallConfig(http);
  const log: Record<string, unknown>[] = [];
  const logger = await createLog(config.log, {
    write: (line: string) => log.push(JSON.parse(line) as SmallApp['log'][0]),
  });
  const module = {
    module: SmallModule,
    imports: [BrokerConfigModule.for(config, { node: 'n', process: 'p', runner: 'n/p' })],
  };
  const app = await createHttpApp(module, config.http, logger);
  await app.listen(0, '127.0.0.1');
  const lifecycle = app.get(Lifecycle);
  lifecycle.markReady();
  const url = await app.getUrl();
  return {
    app,
    url,
    lifecycle,
    log,
    platform: new HttpClient(
      url,
      { username: 'platform', password: PASSWORDS.platform[0] ?? '' },
      { 'x-broker-api-version': '2.17' },
    ),
    admin: new HttpClient(url, { username: 'admin', password: PASSWORDS.admin[0] ?? '' }),
  };
}

function smallConfig(http: Record<string, unknown>): BrokerConfig {
  return configSchema.parse({
    http,
    platform: {
      credentials: [
        { username: 'platform', password: PASSWORDS.platform[0] },
        { username: 'platform-next', password: PASSWORDS.platform[1] },
      ],
    },
    admin: { credentials: [{ password: PASSWORDS.admin[0] }] },
    state: {
      url: 'postgres://u@localhost/state',
      encryption_keys: [{ id: 'k', secret: randomBytes(32).toString('base64') }],
    },
    servers: [{ name: 'default', url: 'postgres://u@localhost/postgres' }],
    log: { level: 'debug' },
  });
}
