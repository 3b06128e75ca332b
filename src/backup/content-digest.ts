import { BrokerError } from '../errors.js';

/**
 * The sha-256 that a `Content-Digest` or `Repr-Digest` names (RFC 9530), in hexadecimal; undefined where it names
 * other algorithms only.
 * @throws BrokerError `invalid_request`
 */
export function sha256Of(field: string, header: string | string[] | undefined): string | undefined {
  const members = [header ?? []]
    .flat()
    .join(',')
    .split(',')
    .filter((member) => member.trim() !== '');
  const digests = members.map((member) => {
    const [, algorithm, value] = /^\s*([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/]*={0,2}):(?:;[^,]*)?\s*$/.exec(member) ?? [];
    if (algorithm === undefined || value === undefined)
      throw new BrokerError('invalid_request', `${field}: expected a digest such as sha-256=:...: (RFC 9530)`);
    return { algorithm, bytes: Buffer.from(value, 'base64') };
  });
  const found = digests.filter(({ algorithm }) => algorithm === 'sha-256').at(-1);
  if (found === undefined) return undefined;
  if (found.bytes.length === 32) return found.bytes.toString('hex');
  throw new BrokerError('invalid_request', `${field}: expected a sha-256 of 32 bytes`);
}
