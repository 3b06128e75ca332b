import { Injectable } from '@nestjs/common';
import { BrokerError } from '../errors.js';
import { BindingStore, type NewBinding } from '../instances/binding-store.js';
import { type BindingAccess } from '../instances/service-binding.entity.js';
import { type ServiceInstance } from '../instances/service-instance.entity.js';
import { TenantDatabases } from '../postgres/tenant-databases.js';
import { ServiceCatalog } from './catalog.js';
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

  /** @throws BrokerError `invalid_request` naming the parameter or the predecessor */
  async draw(instance: ServiceInstance, id: string, request: BindRequest): Promise<NewBinding> {
    const offered = this.catalog.find(instance.serviceId, instance.planId);
    const parameters = request.parameters ?? {};
    (offered?.bind ?? defaultBindingCheck).assert(parameters);
    const bindResource = { ...(request.app_guid && { app_guid: request.app_guid }), ...request.bind_resource };
    const predecessorId = request.predecessor_binding_id ?? null;
    if (predecessorId !== null) await this.#assertPredecessor(instance.id, predecessorId);
    return {
      instanceId: instance.id,
      id,
      serviceId: instance.serviceId,
      planId: instance.planId,
      parameters: parameters,
      bindResource,
      context: request.context ?? {},
      fingerprint: bindingFingerprint(parameters, bindResource, predecessorId),
      role: this.databases.drawBindingRole(),
      access: (parameters['access'] as BindingAccess | undefined) ?? 'read-write',
      sealedPassword: this.sealing.seal(this.databases.drawPassword(), instance.id, id),
      predecessorId,
      ...lifeOf(offered?.plan.binding_max_age),
    };
  }

  async #assertPredecessor(instanceId: string, id: string): Promise<void> {
    const predecessor = await this.bindings.find(instanceId, id);
    if (predecessor?.state !== 'ready')
      throw new BrokerError(
        'invalid_request',
        'predecessor_binding_id: expected a binding of the same service instance',
      );
    if (predecessor.expiresAt !== null && predecessor.expiresAt.getTime() <= Date.now())
      throw new BrokerError('invalid_request', 'predecessor_binding_id: expected a binding that has not expired');
  }
}

function lifeOf(maxAgeMs: number | undefined): Pick<NewBinding, 'expiresAt' | 'renewBefore'> {
  if (maxAgeMs === undefined) return { expiresAt: null, renewBefore: null };
  const now = Date.now();
  return { expiresAt: new Date(now + maxAgeMs), renewBefore: new Date(now + maxAgeMs * RENEW_AT) };
}
