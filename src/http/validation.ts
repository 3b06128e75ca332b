import { type ValidationError, ValidationPipe } from '@nestjs/common';
import { BrokerError } from '../errors.js';

/** Checks bodies and queries against their classes; every fault is named at once, unknown fields are dropped. */
export function createValidationPipe(): ValidationPipe {
  return new ValidationPipe({
    transform: true,
    whitelist: true,
    exceptionFactory: (errors) =>
      new BrokerError('invalid_request', [...new Set(errors.flatMap((error) => describe(error, '')))].join('; ')),
  });
}

function describe(error: ValidationError, within: string): string[] {
  const path = within === '' ? error.property : `${within}.${error.property}`;
  const own = Object.values(error.constraints ?? {}).map(
    (message) => `${path}: ${withoutName(message, error.property)}`,
  );
  return [...own, ...(error.children ?? []).flatMap((child) => describe(child, path))];
}

function withoutName(message: string, property: string): string {
  return message.startsWith(`${property} `) ? message.slice(property.length + 1) : message;
}
