import { type NestFastifyApplication } from '@nestjs/platform-fastify';
import * as swagger from '@nestjs/swagger';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { STATUS_OF } from '../errors.js';
import { applyApiDocs } from './api-docs.js';
import { type KnownRoutes } from './routes.js';

type Paths = OpenAPIObject['paths'];
type Operation = NonNullable<Paths[string]['get']>;
type Schemas = NonNullable<NonNullable<OpenAPIObject['components']>['schemas']>;

const METHODS = ['get', 'head', 'put', 'post', 'patch', 'delete'] as const;

const USER_SCHEME =
  "A Cloud Foundry user's token, as `cf oauth-token` shows it; only where `cloud_controller.url` is configured.";
const MAY_NOT = '`forbidden`: the user may see the service instance, but not manage it.';
const ADMINS_ONLY = "`forbidden`: not with a user's token.";

const PUBLIC_PATHS = ['/healthz', '/readyz', '/openapi.json'];

const ERROR_SCHEMAS: Schemas = {
  Problem: {
    type: 'object',
    description: 'Problem details (RFC 9457).',
    required: ['type', 'title', 'status', 'code', 'detail', 'request_id'],
    properties: {
      type: { type: 'string', example: 'about:blank' },
      title: { type: 'string', example: 'Conflict' },
      status: { type: 'integer', example: 409 },
      code: { type: 'string', enum: Object.keys(STATUS_OF), description: 'What clients may branch on.' },
      detail: { type: 'string', example: 'a provision of this instance is in progress' },
      request_id: { type: 'string', description: 'Finds the request in the log of the broker.' },
      operation_id: {
        type: 'string',
        format: 'uuid',
        description: 'With `operation_in_progress` the running one, else the one that failed.',
      },
      allowed_methods: { type: 'array', items: { type: 'string' }, description: 'With `method_not_allowed`.' },
      size_bytes: { type: 'integer', description: 'With `range_not_satisfiable`: of the whole.' },
      missing_bytes: { type: 'integer', description: 'With `spool_full` and `server_full`, where it is known.' },
      node: { type: 'string', description: 'With `storage_unreachable`: the broker node that reaches it.' },
      max_bytes: { type: 'integer', description: 'With `too_large`, where it is known.' },
      differences: { type: 'array', items: { type: 'string' }, description: 'With `verification_failed`.' },
      errors: { type: 'array', items: { type: 'string' }, description: 'With `restore_failed`: each of them.' },
    },
  },
  ServiceBrokerError: {
    type: 'object',
    description: 'Service Broker Error (Open Service Broker API 2.17).',
    required: ['description'],
    properties: {
      error: { type: 'string', enum: ['ConcurrencyError', 'MaintenanceInfoConflict'] },
      description: { type: 'string', example: 'service_id: expected a text' },
      instance_usable: { type: 'boolean' },
      update_repeatable: { type: 'boolean' },
    },
  },
};

/** Builds the OpenAPI document of both APIs; errors and what every route has in common are added to each. */
export function describeApi(app: NestFastifyApplication, routes: KnownRoutes): OpenAPIObject {
  applyApiDocs(swagger);
  const frame = new DocumentBuilder()
    .setTitle('PostgreSQL service broker')
    .setDescription(
      'The Open Service Broker API 2.17 under `/v2`, for platforms, and the API for admins and users beside it.',
    )
    .setVersion('1')
    .addBasicAuth({ type: 'http', scheme: 'basic', description: 'Credentials of the platform.' }, 'platform')
    .addBasicAuth({ type: 'http', scheme: 'basic', description: 'Credentials of an admin.' }, 'admin')
    .addBearerAuth({ type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: USER_SCHEME }, 'user')
    .build();
  const document = SwaggerModule.createDocument(app, frame, { autoTagControllers: false });
  document.components = {
    ...document.components,
    schemas: { ...document.components?.schemas, ...ERROR_SCHEMAS },
  };
  for (const [path, item] of Object.entries(document.paths))
    for (const method of METHODS) {
      const operation = item[method];
      if (operation !== undefined) complete(path, operation, isForUsers(routes, method, path));
    }
  return document;
}

/** As the routes themselves say. */
function isForUsers(routes: KnownRoutes, method: string, path: string): boolean {
  const url = path.replaceAll('{', ':').replaceAll('}', '');
  return routes.settingsOf(method.toUpperCase(), url)?.userMay !== undefined;
}

function complete(path: string, operation: Operation, forUsers: boolean): void {
  if (PUBLIC_PATHS.includes(path)) {
    operation.security = [];
    return;
  }
  const platform = path.startsWith('/v2');
  operation.security = [platform ? { platform: [] } : { admin: [] }, ...(forUsers ? [{ user: [] }] : [])];
  if (platform) operation.parameters = [...(operation.parameters ?? []), ...missingHeaders(operation)];
  const content = platform
    ? { 'application/json': { schema: { $ref: '#/components/schemas/ServiceBrokerError' } } }
    : { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } };
  const common = {
    401: 'Credentials are missing or wrong.',
    ...(platform ? { 412: 'The API version is missing or not 2.x.' } : { 403: forUsers ? MAY_NOT : ADMINS_ONLY }),
    ...(forUsers ? { 404: 'There is no such thing, or the user may not see it.' } : {}),
    429: 'Too many wrong credentials; `Retry-After` says when to come back.',
    500: 'An error that was not foreseen.',
    503: 'The broker is starting or stopping, or what it needs cannot be reached; `Retry-After` says when to come back.',
  };
  for (const [status, description] of Object.entries(common)) operation.responses[status] ??= { description };
  for (const [status, response] of Object.entries(operation.responses))
    if (Number(status) >= 400 && Number(status) !== 410 && response !== undefined && !('$ref' in response))
      response.content ??= content;
}

function missingHeaders(operation: Operation) {
  const known = new Set((operation.parameters ?? []).map((each) => ('name' in each ? each.name.toLowerCase() : '')));
  const headers = [
    { name: 'X-Broker-API-Version', required: true, description: '2.x', example: '2.17' },
    {
      name: 'X-Broker-API-Originating-Identity',
      required: false,
      description: 'Platform and base64 of a JSON object: who asks.',
      example: 'cloudfoundry eyJ1c2VyX2lkIjoiNjgzZWE3NDgifQ==',
    },
    { name: 'X-Broker-API-Request-Identity', required: false, description: 'Echoed and logged.', example: 'e26cee84' },
  ];
  return headers
    .filter(({ name }) => !known.has(name.toLowerCase()))
    .map((header) => ({ ...header, in: 'header' as const, schema: { type: 'string' as const } }));
}
