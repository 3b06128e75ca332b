import { type InstanceParameters, type PlanLimits } from '../instances/service-instance.entity.js';

/** What an instance shall be after an update; kept in the operation's input. */
export interface UpdateTarget {
  planId: string;
  parameters: InstanceParameters;
  fingerprint: string;
  limits: PlanLimits;
  maintenanceVersion: string | null;
  context: Record<string, unknown>;
}
