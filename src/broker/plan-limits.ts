import { BrokerError } from '../errors.js';
import { type PlanLimits, type ServiceInstance } from '../instances/service-instance.entity.js';
import { type TenantLimits, type TenantNames } from '../postgres/tenant.js';
import { type OfferedPlan } from './catalog.js';
import { allowedExtensions } from './parameter-schemas.js';

/** A plan's limits as the server takes them. */
export function tenantLimits(limits: PlanLimits): TenantLimits {
  return {
    connections: limits.connections,
    statementTimeoutMs: limits.statement_timeout,
    idleInTransactionTimeoutMs: limits.idle_in_transaction_timeout,
    tempFileLimitBytes: limits.temp_file_limit,
  };
}

export function namesOf(instance: ServiceInstance): TenantNames {
  const { server, database, ownerRole, connectRole, readerRole } = instance;
  return { server, database, ownerRole, connectRole, readerRole };
}

/** @throws BrokerError `not_supported` naming the extensions in use that the plan does not allow */
export function assertExtensionsAllowed({ plan }: OfferedPlan, extensions: string[]): void {
  const allowed = allowedExtensions(plan);
  const refused = extensions.filter((name) => !allowed.includes(name));
  if (refused.length > 0)
    throw new BrokerError(
      'not_supported',
      `plan_id: the plan ${plan.name} does not allow the extensions ${refused.join(', ')}`,
    );
}
