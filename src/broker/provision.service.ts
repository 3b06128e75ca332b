import { Injectable } from '@nestjs/common';
import { BrokerError } from '../errors.js';
import { InstanceStore, type NewInstance } from '../instances/instance-store.js';
import { type ServiceInstance } from '../instances/service-instance.entity.js';
import { type Operation } from '../operations/operation.entity.js';
import { OperationsService } from '../operations/operations.service.js';
import { type Ask } from './ask.js';
import { type OfferedPlan, ServiceCatalog } from './catalog.js';
import { instanceFingerprint } from './fingerprint.js';
import { assertMaintenance } from './maintenance.js';
import { OperationWait } from './operation-wait.js';
import { Placement } from './placement.js';
import { asUserMistake, concurrency } from './refusals.js';
import { type ProvisionRequest } from './requests.dto.js';

/** `created` by this call, `identical` to one that was there, or `accepted`: goes on as that operation. */
export type Provisioned = { outcome: 'created' | 'identical' } | { outcome: 'accepted'; operation: string };

/** What an instance shall be, beside its place on a server. */
type Wanted = Pick<
  NewInstance,
  'serviceId' | 'planId' | 'parameters' | 'fingerprint' | 'context' | 'maintenanceVersion' | 'limits'
>;

/** Looks at an id again when another call changed it meanwhile. */
const LOOKS = 5;

@Injectable()
export class ProvisionService {
  constructor(
    private readonly catalog: ServiceCatalog,
    private readonly instances: InstanceStore,
    private readonly operations: OperationsService,
    private readonly wait: OperationWait,
    private readonly placement: Placement,
  ) {}

  /** The primary key decides between calls at the same moment; who loses looks at what the winner made. */
  async provision(id: string, request: ProvisionRequest, ask: Ask): Promise<Provisioned> {
    const offered = this.catalog.find(request.service_id, request.plan_id);
    if (offered === undefined) return this.#ofFormerPlan(id, request, ask);
    const wanted = wantedOf(request, offered);
    for (let look = 0; look < LOOKS; look++) {
      const existing = await this.instances.find(id);
      if (existing !== null && existing.state !== 'failed') {
        const answer = await this.#compare(existing, wanted, ask);
        if (answer !== null) return answer;
        continue;
      }
      const operation = await this.#begin(id, wanted, existing, ask);
      if (operation !== null) return this.#finish(operation, ask);
    }
    throw concurrency();
  }

  /** Of a plan that left the catalog nothing is made any more, but a repeated call still finds what it has made. */
  async #ofFormerPlan(id: string, request: ProvisionRequest, ask: Ask): Promise<Provisioned> {
    const { service_id: serviceId, plan_id: planId } = request;
    const existing = await this.instances.find(id);
    const fingerprint = instanceFingerprint(serviceId, planId, request.parameters ?? {});
    const answer = existing?.fingerprint === fingerprint && (await this.#compare(existing, { fingerprint }, ask));
    if (answer) return answer;
    this.catalog.get(serviceId, planId);
    throw concurrency();
  }

  /** Null: it ended between two looks. */
  async #compare(
    existing: ServiceInstance,
    wanted: Pick<Wanted, 'fingerprint'>,
    ask: Ask,
  ): Promise<Provisioned | null> {
    if (existing.state === 'updating' || existing.state === 'deprovisioning') throw concurrency();
    if (existing.fingerprint !== wanted.fingerprint)
      throw new BrokerError(
        'conflict',
        'there is a service instance of this id with another service, plan or parameters',
      );
    if (existing.state === 'ready') return { outcome: 'identical' };
    const operation = await this.operations.active(existing.id);
    if (operation === null) return null;
    if (operation.kind !== 'provision' || operation.cancelRequested)
      throw concurrency('this service instance is being deleted');
    const { done } = await asUserMistake(this.wait.joined(operation, ask));
    return done ? { outcome: 'identical' } : { outcome: 'accepted', operation: operation.id };
  }

  async #finish(operation: Operation, ask: Ask): Promise<Provisioned> {
    const { done } = await asUserMistake(this.wait.own(operation, ask));
    return done ? { outcome: 'created' } : { outcome: 'accepted', operation: operation.id };
  }

  /** Null: another call was first. */
  async #begin(id: string, wanted: Wanted, failed: ServiceInstance | null, ask: Ask): Promise<Operation | null> {
    try {
      return failed === null ? await this.#beginNew(id, wanted, ask) : await this.#beginAgain(failed, wanted, ask);
    } catch (error) {
      const lost = error instanceof BrokerError && ['operation_in_progress', 'concurrency'].includes(error.code);
      if (lost || this.instances.isTaken(error)) return null;
      throw error;
    }
  }

  #beginNew(id: string, wanted: Wanted, ask: Ask): Promise<Operation> {
    return this.placement.place(wanted.parameters, (names) => {
      const instance: NewInstance = { ...wanted, ...names, id, state: 'provisioning', diverged: false };
      return this.operations.begin({ kind: 'provision', instanceId: id, ...asked(ask) }, (manager) =>
        this.instances.insert(instance, manager),
      );
    });
  }

  /** What a failed provision or deprovision has left goes first. */
  async #beginAgain({ id, server }: ServiceInstance, wanted: Wanted, ask: Ask): Promise<Operation> {
    await this.placement.assertLocale(server, wanted.parameters);
    const input = { sweep: true };
    return this.operations.begin({ kind: 'provision', instanceId: id, input, ...asked(ask) }, (manager) =>
      this.instances.change(
        id,
        ['failed'],
        { ...wanted, state: 'provisioning', diverged: false, strayExtensions: [] },
        manager,
      ),
    );
  }
}

function asked({ requestedBy, requestId }: Ask): Pick<Ask, 'requestedBy' | 'requestId'> {
  return { requestedBy, requestId };
}

/** @throws BrokerError naming the parameter, or `maintenance_info_conflict` */
function wantedOf(request: ProvisionRequest, offered: OfferedPlan): Wanted {
  const { service_id: serviceId, plan_id: planId } = request;
  const parameters = request.parameters ?? {};
  offered.create.assert(parameters);
  assertMaintenance(request.maintenance_info, offered);
  return {
    serviceId,
    planId,
    parameters,
    fingerprint: instanceFingerprint(serviceId, planId, parameters),
    context: request.context ?? {},
    maintenanceVersion: offered.maintenanceVersion ?? null,
    limits: offered.plan.limits,
  };
}
