import {
  type InstanceParameters,
  type PlanLimits,
  type ServiceInstance,
} from '../instances/service-instance.entity.js';

/** What an instance shall be after an update; kept in the operation's input. */
export interface UpdateTarget {
  planId: string;
  parameters: InstanceParameters;
  fingerprint: string;
  limits: PlanLimits;
  maintenanceVersion: string | null;
  context: Record<string, unknown>;
}

/** The extensions that may be on the server beside the row's, after an update with this input that was not taken back. */
export function strayAfter({ strayExtensions }: ServiceInstance, input: Record<string, unknown>): string[] {
  const { parameters } = input['target'] as UpdateTarget;
  return [...new Set([...strayExtensions, ...(parameters.extensions ?? [])])];
}
