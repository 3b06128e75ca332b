import { type IncomingHttpHeaders } from 'node:http';
import { type Requester } from '../auth/requester.js';
import { BrokerError } from '../errors.js';
import { storageFault } from './storable.js';

/**
 * Accepts every 2.x, as newer minor versions are compatible (OSB 2.17, API Version Header).
 * @throws BrokerError `api_version`
 */
export function checkApiVersion(headers: IncomingHttpHeaders): void {
  const version = headers['x-broker-api-version'];
  if (typeof version === 'string' && /^2\.\d{1,9}$/.test(version.trim())) return;
  throw new BrokerError(
    'api_version',
    version === undefined
      ? 'x-broker-api-version: expected 2.x, the header is missing'
      : 'x-broker-api-version: expected 2.x, as this broker speaks version 2.17',
  );
}

/**
 * `X-Broker-API-Originating-Identity`: a platform's name and base64 of a JSON object (OSB 2.17, Originating Identity).
 * @throws BrokerError `invalid_request` where it is present and malformed
 */
export function originatingIdentity(headers: IncomingHttpHeaders): Requester['originating'] {
  const header = headers['x-broker-api-originating-identity'];
  if (header === undefined) return undefined;
  const [, platform, encoded] = /^ *([^\s]{1,100}) +([A-Za-z0-9+/_-]+=*) *$/.exec(String(header)) ?? [];
  const value = encoded === undefined ? undefined : decodedObject(encoded);
  if (platform === undefined || value === undefined)
    throw new BrokerError(
      'invalid_request',
      'x-broker-api-originating-identity: expected a platform and the base64 form of a JSON object',
    );
  return { platform, value };
}

function decodedObject(encoded: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(encoded, 'base64').toString('utf8'));
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject && storageFault(value, 'value') === undefined ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
