import { Controller, Get, Header, Injectable } from '@nestjs/common';
import { type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Realm } from '../auth/realm.js';
import { BrokerError } from '../errors.js';
import { ApiOperation, ApiResponse, ApiTags } from './api-docs.js';
import { type KnownRoutes } from './routes.js';

/** The description of all routes, made when it is first asked for. */
@Injectable()
export class ApiDescription {
  #described: { app: NestFastifyApplication; routes: KnownRoutes } | undefined;
  #document: Promise<object> | undefined;

  describe(app: NestFastifyApplication, routes: KnownRoutes): void {
    this.#described = { app, routes };
  }

  document(): Promise<object> {
    const described = this.#described;
    if (described === undefined) return Promise.reject(new BrokerError('starting', 'the broker is starting'));
    this.#document ??= import('./openapi.js').then(({ describeApi }) => describeApi(described.app, described.routes));
    return this.#document;
  }
}

@ApiTags('health')
@Controller()
@Realm('public')
export class OpenApiController {
  constructor(private readonly description: ApiDescription) {}

  @Get('openapi.json')
  @ApiOperation({ summary: 'This description', operationId: 'describe' })
  @ApiResponse({ status: 200, description: 'An OpenAPI document.', schema: { type: 'object' } })
  @Header('content-type', 'application/json; charset=utf-8')
  async document() {
    return this.description.document();
  }
}
