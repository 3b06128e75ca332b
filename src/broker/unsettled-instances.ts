import { randomUUID } from 'node:crypto';
import { Injectable, Logger } from '@nestjs/common';
import { InstanceStore } from '../instances/instance-store.js';
import { type ServiceInstance } from '../instances/service-instance.entity.js';
import { OperationsService } from '../operations/operations.service.js';
import { TenantDatabases } from '../postgres/tenant-databases.js';
import { type DeprovisionInput } from './deprovision.handler.js';
import { namesOf } from './plan-limits.js';
import { strayAfter, type UpdateTarget } from './update-target.js';

const FIRST_PAUSE_MS = 15_000;
const LONGEST_PAUSE_MS = 3_600_000;

/**
 * Instances that failed are removed; those that may differ from their row are applied again; those whose operation
 * ended without bringing them to a state are brought to one.
 */
@Injectable()
export class UnsettledInstances {
  readonly #logger = new Logger('Janitor');
  /** When each may be tried again: what fails again and again must not fill the list of operations. */
  readonly #next = new Map<string, { at: number; pauseMs: number }>();

  constructor(
    private readonly instances: InstanceStore,
    private readonly operations: OperationsService,
    private readonly databases: TenantDatabases,
  ) {}

  async list(): Promise<ServiceInstance[]> {
    const all = [...(await this.instances.unsettled()), ...(await this.#stranded())];
    const ids = new Set(all.map(({ id }) => id));
    for (const id of this.#next.keys()) if (!ids.has(id)) this.#next.delete(id);
    return all;
  }

  async settle(instance: ServiceInstance, reachable: ReadonlySet<string>): Promise<void> {
    if (!reachable.has(instance.server) || !this.#isDue(instance.id)) return;
    if (instance.state === 'updating') return this.#updateAgain(instance);
    if (instance.state !== 'ready') return this.#remove(instance);
    const size = await this.databases.size(namesOf(instance));
    if (size === undefined) await this.instances.change(instance.id, ['ready'], { state: 'failed', diverged: false });
    else await this.#applyAgain(instance);
  }

  /** At work, without an operation that is: one that begins in between is refused neither by nor to the settling. */
  async #stranded(): Promise<ServiceInstance[]> {
    const atWork = await this.instances.atWork();
    if (atWork.length === 0) return [];
    const busy = new Set((await this.operations.unended()).map(({ instanceId }) => instanceId));
    return atWork.filter(({ id }) => !busy.has(id));
  }

  async #remove({ id, state }: ServiceInstance): Promise<void> {
    if (state !== 'failed') this.#logger.warn(`instance ${id} is ${state} and nothing is at it: it is removed`);
    const failed = state !== 'deprovisioning' || (await this.#wasFailed(id));
    const input = { failed } satisfies DeprovisionInput;
    await this.operations.begin({ kind: 'deprovision', instanceId: id, input, ...byBroker() }, (manager) =>
      this.instances.change(id, [state], { state: 'deprovisioning' }, manager),
    );
  }

  /** Before the deprovision that left it: nobody uses it, and it must not become ready because its removal fails. */
  async #wasFailed(id: string): Promise<boolean> {
    const former = await this.operations.latest(id, ['deprovision']);
    return (former?.input as DeprovisionInput | undefined)?.failed === true;
  }

  #applyAgain(instance: ServiceInstance): Promise<void> {
    return this.#beginUpdate(instance, { state: 'updating' });
  }

  /** The row still says what held before; what the update had wanted may be there. */
  async #updateAgain(instance: ServiceInstance): Promise<void> {
    this.#logger.warn(`instance ${instance.id} is updating and nothing is at it: it is applied again as it was`);
    const former = await this.operations.latest(instance.id, ['update']);
    const strayExtensions = former === null ? instance.strayExtensions : strayAfter(instance, former.input);
    await this.#beginUpdate({ ...instance, strayExtensions }, { state: 'updating', strayExtensions });
  }

  async #beginUpdate({ id, state, ...instance }: ServiceInstance, to: Partial<ServiceInstance>): Promise<void> {
    const { planId, parameters, fingerprint, limits, maintenanceVersion, context } = instance;
    const target: UpdateTarget = { planId, parameters, fingerprint, limits, maintenanceVersion, context };
    await this.operations.begin({ kind: 'update', instanceId: id, input: { target }, ...byBroker() }, (manager) =>
      this.instances.change(id, [state], to, manager),
    );
  }

  #isDue(id: string): boolean {
    const { at, pauseMs } = this.#next.get(id) ?? { at: 0, pauseMs: FIRST_PAUSE_MS / 2 };
    if (Date.now() < at) return false;
    const longer = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
    this.#next.set(id, { at: Date.now() + longer, pauseMs: longer });
    return true;
  }
}

function byBroker() {
  return { requestedBy: { realm: 'broker' as const }, requestId: `janitor-${randomUUID()}` };
}
