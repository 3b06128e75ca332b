import { Injectable } from '@nestjs/common';
import { BrokerError } from '../errors.js';
import { InstanceStore } from '../instances/instance-store.js';
import { type ServiceInstance } from '../instances/service-instance.entity.js';
import { type Operation, type OperationKind } from '../operations/operation.entity.js';
import { OperationsService } from '../operations/operations.service.js';
import { type Ask } from './ask.js';
import { ServiceCatalog } from './catalog.js';
import { type DeprovisionInput } from './deprovision.handler.js';
import { OperationWait, type Settled } from './operation-wait.js';
import { concurrency, withUsability } from './refusals.js';
import { type DeleteQuery } from './requests.dto.js';

/** `accepted`: goes on as that operation. */
export type Deprovisioned = { outcome: 'deleted' } | { outcome: 'accepted'; operation: string };

/** Looks at an id again when another call changed it meanwhile. */
const LOOKS = 5;

const OF_BROKER: OperationKind[] = ['provision', 'update', 'deprovision'];

@Injectable()
export class DeprovisionService {
  constructor(
    private readonly catalog: ServiceCatalog,
    private readonly instances: InstanceStore,
    private readonly operations: OperationsService,
    private readonly wait: OperationWait,
  ) {}

  /** Halts whatever runs on it, then deletes what is there: the platform may clean up at any moment. */
  async deprovision(id: string, query: DeleteQuery, ask: Ask): Promise<Deprovisioned> {
    let halted = false;
    for (let look = 0; look < LOOKS; look++) {
      const instance = await this.instances.find(id);
      if (instance === null) return gone(halted);
      this.catalog.assertOf(instance, query);
      if (!isAtWork(instance)) {
        const begun = await this.#begin(instance, ask);
        if (begun !== null) return this.#answer(id, this.wait.own(begun, ask));
        await this.#haltOther(id, ask);
        continue;
      }
      const operation = await this.operations.active(id);
      if (operation === null) continue;
      if (operation.kind === 'deprovision' && !operation.cancelRequested)
        return this.#answer(id, this.wait.joined(operation, ask));
      halted = true;
      await this.#halt(operation, ask);
    }
    throw concurrency();
  }

  /** Work that leaves the instance's state as it is: of its backups. */
  async #haltOther(id: string, ask: Ask): Promise<void> {
    const operation = await this.operations.active(id);
    if (operation !== null && !OF_BROKER.includes(operation.kind)) await this.#halt(operation, ask);
  }

  async #halt(operation: Operation, ask: Ask): Promise<void> {
    const { state } = await this.wait.halted(operation, ask);
    if (state === 'queued' || state === 'running') throw concurrency(`the ${operation.kind} is still being halted`);
  }

  /** Null: another call was first. */
  async #begin({ id, state }: ServiceInstance, { requestedBy, requestId }: Ask): Promise<Operation | null> {
    const input = { failed: state === 'failed' } satisfies DeprovisionInput;
    try {
      return await this.operations.begin(
        { kind: 'deprovision', instanceId: id, input, requestedBy, requestId },
        (manager) => this.instances.change(id, [state], { state: 'deprovisioning' }, manager),
      );
    } catch (error) {
      if (error instanceof BrokerError && ['operation_in_progress', 'concurrency'].includes(error.code)) return null;
      throw error;
    }
  }

  async #answer(id: string, settling: Promise<Settled>): Promise<Deprovisioned> {
    try {
      const { operation, done } = await settling;
      return done ? { outcome: 'deleted' } : { outcome: 'accepted', operation: operation.id };
    } catch (error) {
      const instance = await this.instances.find(id);
      throw withUsability(error, { instance_usable: instance?.state === 'ready' });
    }
  }
}

function isAtWork({ state }: ServiceInstance): boolean {
  return state === 'provisioning' || state === 'updating' || state === 'deprovisioning';
}

/** Where this call halted the creation, that has deleted everything. */
function gone(halted: boolean): Deprovisioned {
  if (halted) return { outcome: 'deleted' };
  throw new BrokerError('gone', 'there is no service instance of this id');
}
