import { createHash } from 'node:crypto';
import { type InstanceParameters } from '../instances/service-instance.entity.js';

/**
 * What makes two provision requests identical: service, plan and parameters. Absent parameters equal `{}`, and a list
 * of extensions is a set. The context is not part of it.
 */
export function instanceFingerprint(
  serviceId: string,
  planId: string,
  parameters: InstanceParameters | Record<string, unknown>,
): string {
  const { extensions = [], ...others } = parameters;
  if (!Array.isArray(extensions)) return hash([serviceId, planId, parameters]);
  const set = [...new Set(extensions.map(String))].sort();
  return hash([serviceId, planId, set.length > 0 ? { ...others, extensions: set } : others]);
}

/** What makes two bind requests identical, beside the service and plan that the instance settles. */
export function bindingFingerprint(
  parameters: Record<string, unknown>,
  bindResource: Record<string, unknown>,
  predecessorId: string | null,
): string {
  return hash([{ access: 'read-write', ...parameters }, bindResource, predecessorId]);
}

function hash(value: unknown): string {
  return createHash('sha256')
    .update(JSON.stringify(sorted(value)))
    .digest('hex');
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, each]) => each !== undefined);
  return { object: entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, each]) => [key, sorted(each)]) };
}
