import { randomUUID } from 'node:crypto';
import { type IncomingHttpHeaders } from 'node:http';

const SANE = /^[A-Za-z0-9][A-Za-z0-9._:=+/-]{0,127}$/;

/** The caller's request id (`X-Request-Id`, else the Gorouter's `X-Vcap-Request-Id`) where it is sane, else a new one. */
export function requestIdOf(headers: IncomingHttpHeaders): string {
  const given = [headers['x-request-id'], headers['x-vcap-request-id']];
  return given.find((id): id is string => typeof id === 'string' && SANE.test(id)) ?? randomUUID();
}
