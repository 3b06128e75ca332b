import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { InstanceStore } from '../instances/instance-store.js';
import { type ServiceInstance } from '../instances/service-instance.entity.js';
import { OperationsService } from '../operations/operations.service.js';
import { TenantDatabases } from '../postgres/tenant-databases.js';
import { namesOf } from './plan-limits.js';
import { type UpdateTarget } from './update-target.js';

const FIRST_PAUSE_MS = 15_000;
const LONGEST_PAUSE_MS = 3_600_000;

/** Instances that failed are removed; those that may differ from their row are applied again. */
@Injectable()
export class UnsettledInstances {
  /** When each may be tried again: what fails again and again must not fill the list of operations. */
  readonly #next = new Map<string, { at: number; pauseMs: number }>();

  constructor(
    private readonly instances: InstanceStore,
    private readonly operations: OperationsService,
    private readonly databases: TenantDatabases,
  ) {}

  async list(): Promise<ServiceInstance[]> {
    const all = await this.instances.unsettled();
    const ids = new Set(all.map(({ id }) => id));
    for (const id of this.#next.keys()) if (!ids.has(id)) this.#next.delete(id);
    return all;
  }

  async settle(instance: ServiceInstance, reachable: ReadonlySet<string>): Promise<void> {
    if (!reachable.has(instance.server) || !this.#isDue(instance.id)) return;
    if (instance.state === 'failed') return this.#remove(instance);
    const size = await this.databases.size(namesOf(instance));
    if (size === undefined) await this.instances.change(instance.id, ['ready'], { state: 'failed', diverged: false });
    else await this.#applyAgain(instance);
  }

  async #remove({ id }: ServiceInstance): Promise<void> {
    await this.operations.begin({ kind: 'deprovision', instanceId: id, ...byBroker() }, (manager) =>
      this.instances.change(id, ['failed'], { state: 'deprovisioning' }, manager),
    );
  }

  async #applyAgain({ id, ...instance }: ServiceInstance): Promise<void> {
    const { planId, parameters, fingerprint, limits, maintenanceVersion, context } = instance;
    const target: UpdateTarget = { planId, parameters, fingerprint, limits, maintenanceVersion, context };
    await this.operations.begin({ kind: 'update', instanceId: id, input: { target }, ...byBroker() }, (manager) =>
      this.instances.change(id, ['ready'], { state: 'updating' }, manager),
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
