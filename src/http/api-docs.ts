import type * as Swagger from '@nestjs/swagger';

/**
 * The decorators of @nestjs/swagger, put off until the description of the API is asked for: the package costs 14 MB
 * and 0.1 s of every start, and few brokers are ever asked.
 */
type SwaggerPackage = typeof Swagger;
type DecoratorName =
  | 'ApiBasicAuth'
  | 'ApiBody'
  | 'ApiConsumes'
  | 'ApiHeader'
  | 'ApiOperation'
  | 'ApiProperty'
  | 'ApiPropertyOptional'
  | 'ApiResponse'
  | 'ApiTags';
type Decorate = (...target: unknown[]) => void;

const pending: ((swagger: SwaggerPackage) => void)[] = [];

function later<Name extends DecoratorName>(name: Name): SwaggerPackage[Name] {
  const factory =
    (...options: unknown[]): Decorate =>
    (...target) => {
      pending.push((swagger) =>
        (swagger[name] as unknown as (...options: unknown[]) => Decorate)(...options)(...target),
      );
    };
  return factory;
}

export const ApiBasicAuth = later('ApiBasicAuth');
export const ApiBody = later('ApiBody');
export const ApiConsumes = later('ApiConsumes');
export const ApiHeader = later('ApiHeader');
export const ApiOperation = later('ApiOperation');
export const ApiProperty = later('ApiProperty');
export const ApiPropertyOptional = later('ApiPropertyOptional');
export const ApiResponse = later('ApiResponse');
export const ApiTags = later('ApiTags');

/** Applies all that was put off, in the order in which it was written. */
export function applyApiDocs(swagger: SwaggerPackage): void {
  for (const apply of pending.splice(0)) apply(swagger);
}
