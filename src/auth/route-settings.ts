import { RouteConfig } from '@nestjs/platform-fastify';
import { type FastifyContextConfig } from 'fastify';

/** Where `RouteConfig` of @nestjs/platform-fastify keeps its argument. */
const ROUTE_CONFIG = '__fastify_route_config__';

/** Adds settings to a handler's route; those that it has already stay. */
export function addRouteSettings(
  settings: FastifyContextConfig,
  target: object,
  key: string | symbol,
  descriptor: PropertyDescriptor,
): void {
  const known = Reflect.getMetadata(ROUTE_CONFIG, descriptor.value as object) as object | undefined;
  RouteConfig({ ...known, ...settings })(target, key, descriptor);
}
