import { Injectable } from '@nestjs/common';
import { BrokerError } from '../errors.js';
import { BindingStore, type NewBinding } from '../instances/binding-store.js';
import { type BindingAccess, type ServiceBinding } from '../instances/service-binding.entity.js';
import { type ServiceInstance } from '../instances/service-instance.entity.js';
import { TenantDatabases } from '../postgres/tenant-databases.js';
import { planBindable, ServiceCatalog } from './catalog.js';
import { bindingFingerprint } from './fingerprint.js';
import { defaultBindingCheck } from './parameter-schemas.js';
import { type BindRequest } from './requests.dto.js';
import { Sealing } from './sealing.js';

/** Of its life, after which a binding should be renewed. */
const RENEW_AT = 0.75;

/** What a binding will be, before anything is made: names and password are drawn first, so that all can be found again. */
@Injectable()
export class BindingDraft {
  constructor(
    private readonly catalog: ServiceCatalog,
    private readonly bindings: BindingStore,
    private readonly databases: TenantDatabases,
    private readonly sealing: Sealing,
  ) {}

  /**
   * A predecessor's parameters and resource are taken over where the request leaves them out.
   * @throws BrokerError `invalid_request` naming the parameter or the predecessor, or where the plan is not bindable
   */
  async draw(instance: ServiceInstance, id: string, request: BindRequest): Promise<NewBinding> {
    const offered = this.catalog.find(instance.serviceId, instance.planId);
    if (offered !== undefined && !planBindable(offered))
      throw new BrokerError('invalid_request', 'plan_id: service instances of this plan cannot be bound');
    const predecessor = await this.#predecessor(instance.id, request);
    const parameters = request.parameters ?? predecessor?.parameters ?? {};
    (offered?.bind ?? defaultBindingCheck).assert(parameters);
    return {
      instanceId: instance.id,
      id,
      serviceId: instance.serviceId,
      planId: instance.planId,
      parameters,
      bindResource: resourceOf(request) ?? predecessor?.bindResource ?? {},
      context: request.context ?? {},
      fingerprint: fingerprintOf(request),
      role: this.databases.drawBindingRole(),
      access: (parameters['access'] as BindingAccess | undefined) ?? 'read-write',
      sealedPassword: this.sealing.seal(this.databases.drawPassword(), instance.id, id),
      predecessorId: predecessor?.id ?? null,
      ...lifeOf(offered?.plan.binding_max_age),
    };
  }

  async #predecessor(instanceId: string, request: BindRequest): Promise<ServiceBinding | null> {
    const id = request.predecessor_binding_id ?? null;
    if (id === null) return null;
    const predecessor = await this.bindings.find(instanceId, id);
    if (predecessor?.state !== 'ready')
      throw new BrokerError(
        'invalid_request',
        'predecessor_binding_id: expected a binding of the same service instance',
      );
    if (predecessor.expiresAt !== null && predecessor.expiresAt.getTime() <= Date.now())
      throw new BrokerError('invalid_request', 'predecessor_binding_id: expected a binding that has not expired');
    return predecessor;
  }
}

/** What makes a request identical to another: what it says, not what it takes over from a predecessor. */
export function fingerprintOf(request: BindRequest): string {
  return bindingFingerprint(
    request.parameters ?? {},
    resourceOf(request) ?? {},
    request.predecessor_binding_id ?? null,
  );
}

function resourceOf({ app_guid, bind_resource }: BindRequest): Record<string, unknown> | undefined {
  if (!app_guid && !bind_resource) return undefined;
  return { ...(app_guid && { app_guid }), ...bind_resource };
}

function lifeOf(maxAgeMs: number | undefined): Pick<NewBinding, 'expiresAt' | 'renewBefore'> {
  if (maxAgeMs === undefined) return { expiresAt: null, renewBefore: null };
  const now = Date.now();
  return { expiresAt: new Date(now + maxAgeMs), renewBefore: new Date(now + maxAgeMs * RENEW_AT) };
}
