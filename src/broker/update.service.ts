import { isDeepStrictEqual } from 'node:util';
import { Injectable } from '@nestjs/common';
import { BrokerError, unknownInstance } from '../errors.js';
import { InstanceStore } from '../instances/instance-store.js';
import { type InstanceParameters, type ServiceInstance } from '../instances/service-instance.entity.js';
import { type Operation } from '../operations/operation.entity.js';
import { OperationsService } from '../operations/operations.service.js';
import { TenantDatabases } from '../postgres/tenant-databases.js';
import { type Ask } from './ask.js';
import { type OfferedPlan, planUpdateable, ServiceCatalog } from './catalog.js';
import { instanceFingerprint } from './fingerprint.js';
import { assertMaintenance } from './maintenance.js';
import { OperationWait, type Settled } from './operation-wait.js';
import { assertExtensionsAllowed, namesOf } from './plan-limits.js';
import { concurrency, withUsability } from './refusals.js';
import { type UpdateRequest } from './requests.dto.js';
import { type UpdateTarget } from './update-target.js';

/** `accepted`: goes on as that operation. */
export type Updated = { outcome: 'updated' } | { outcome: 'accepted'; operation: string };

@Injectable()
export class UpdateService {
  constructor(
    private readonly catalog: ServiceCatalog,
    private readonly instances: InstanceStore,
    private readonly operations: OperationsService,
    private readonly wait: OperationWait,
    private readonly databases: TenantDatabases,
  ) {}

  async update(id: string, request: UpdateRequest, ask: Ask): Promise<Updated> {
    const instance = await this.#known(id, request);
    const offered = this.#offered(instance, request);
    const target = targetOf(instance, offered, request);
    if (instance.state === 'updating') return this.#repeated(instance, target, ask);
    if (instance.state !== 'ready') throw concurrency();
    assertMaintenance(request.maintenance_info, offered);
    if (target.planId !== instance.planId) await this.#assertPlanChange(instance, target, offered);
    if (isApplied(instance, target)) return this.#rename(instance, target);
    return this.#apply(instance, target, ask);
  }

  async #known(id: string, request: UpdateRequest): Promise<ServiceInstance> {
    const instance = await this.instances.find(id);
    if (request.service_id !== instance?.serviceId) this.catalog.assertService(request.service_id);
    if (request.plan_id && request.plan_id !== instance?.planId) this.catalog.get(request.service_id, request.plan_id);
    if (instance === null || instance.state === 'failed') throw unknownInstance();
    if (request.service_id !== instance.serviceId)
      throw new BrokerError('invalid_request', `service_id: expected ${instance.serviceId}, which this instance is of`);
    return instance;
  }

  /** Undefined: the plan left the catalog, and the instance stays in it. */
  #offered(instance: ServiceInstance, request: UpdateRequest): OfferedPlan | undefined {
    const offered = this.catalog.find(instance.serviceId, request.plan_id ?? instance.planId);
    const parameters = request.parameters ?? {};
    if (offered === undefined && Object.keys(parameters).length > 0)
      throw new BrokerError(
        'not_supported',
        'parameters: the plan of this instance left the catalog, choose another plan_id',
      );
    offered?.update.assert(withoutSameLocale(parameters, instance.parameters));
    return offered;
  }

  /** The platform repeats a call that it has no answer to. */
  async #repeated(instance: ServiceInstance, target: UpdateTarget, ask: Ask): Promise<Updated> {
    const operation = await this.operations.active(instance.id);
    const same = operation !== null && isDeepStrictEqual(operation.input, JSON.parse(JSON.stringify({ target })));
    if (!same || operation.cancelRequested) throw concurrency();
    return this.#answer(operation, this.wait.joined(operation, ask));
  }

  async #assertPlanChange(
    instance: ServiceInstance,
    target: UpdateTarget,
    offered: OfferedPlan | undefined,
  ): Promise<void> {
    const current = this.catalog.find(instance.serviceId, instance.planId);
    if (current !== undefined && !planUpdateable(current))
      throw new BrokerError(
        'not_supported',
        `plan_id: instances of the plan ${current.plan.name} cannot change their plan`,
      );
    if (offered !== undefined) assertExtensionsAllowed(offered, target.parameters.extensions ?? []);
    const room = target.limits.storage_bytes;
    if (room === undefined || room >= (instance.limits.storage_bytes ?? Number.POSITIVE_INFINITY)) return;
    const size = await this.databases.size(namesOf(instance));
    if (size !== undefined && size > room)
      throw new BrokerError(
        'not_supported',
        `plan_id: the database holds ${size} bytes, this plan has storage for ${room}`,
      );
  }

  async #rename(instance: ServiceInstance, { context }: UpdateTarget): Promise<Updated> {
    if (!isDeepStrictEqual(context, instance.context)) await this.instances.change(instance.id, ['ready'], { context });
    return { outcome: 'updated' };
  }

  async #apply({ id }: ServiceInstance, target: UpdateTarget, ask: Ask): Promise<Updated> {
    const { requestedBy, requestId } = ask;
    const operation = await this.operations.begin(
      { kind: 'update', instanceId: id, input: { target }, requestedBy, requestId },
      (manager) => this.instances.change(id, ['ready'], { state: 'updating' }, manager),
    );
    return this.#answer(operation, this.wait.own(operation, ask));
  }

  /** A failed update was taken back, or will be as soon as the server answers. */
  async #answer({ id }: Operation, settling: Promise<Settled>): Promise<Updated> {
    try {
      return (await settling).done ? { outcome: 'updated' } : { outcome: 'accepted', operation: id };
    } catch (error) {
      throw withUsability(error, { instance_usable: true, update_repeatable: true });
    }
  }
}

/** What is not in the request stays; a plan brings its own limits and maintenance version. */
function targetOf(instance: ServiceInstance, offered: OfferedPlan | undefined, request: UpdateRequest): UpdateTarget {
  const planId = request.plan_id ?? instance.planId;
  const parameters: InstanceParameters = { ...instance.parameters, ...request.parameters };
  const moves = planId !== instance.planId || Boolean(request.maintenance_info);
  // Names alone change nothing on the server, whatever the operator has changed in the plan meanwhile.
  const renames = !moves && !request.parameters;
  return {
    planId,
    parameters,
    fingerprint: instanceFingerprint(instance.serviceId, planId, parameters),
    limits: renames ? instance.limits : (offered?.plan.limits ?? instance.limits),
    maintenanceVersion: moves ? (offered?.maintenanceVersion ?? null) : instance.maintenanceVersion,
    context: { ...instance.context, ...request.context },
  };
}

function isApplied(instance: ServiceInstance, target: UpdateTarget): boolean {
  return (
    !instance.diverged &&
    instance.fingerprint === target.fingerprint &&
    instance.maintenanceVersion === target.maintenanceVersion &&
    isDeepStrictEqual(instance.limits, JSON.parse(JSON.stringify(target.limits)))
  );
}

/** The locale that the database has may be named again; another one is refused by name. */
function withoutSameLocale(parameters: Record<string, unknown>, current: InstanceParameters): Record<string, unknown> {
  const { locale, ...others } = parameters;
  if (locale === undefined) return parameters;
  if (locale === (current.locale ?? 'C.UTF-8')) return others;
  throw new BrokerError(
    'invalid_request',
    `parameters.locale: cannot be changed, the database has ${current.locale ?? 'C.UTF-8'}`,
  );
}
