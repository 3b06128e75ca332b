import { setTimeout as pause } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { BrokerError } from '../errors.js';
import { BindingStore } from '../instances/binding-store.js';
import { InstanceStore } from '../instances/instance-store.js';
import { type ServiceBinding } from '../instances/service-binding.entity.js';
import { type ServiceInstance } from '../instances/service-instance.entity.js';
import { BindingWork, CALL_LIMIT_MS } from './binding-work.js';
import { ServiceCatalog } from './catalog.js';
import { concurrency } from './refusals.js';
import { type DeleteQuery } from './requests.dto.js';

/** How long a call waits for another one on the same binding. */
const PATIENCE_MS = 35_000;
const LOOK_MS = 50;

@Injectable()
export class UnbindService {
  constructor(
    private readonly catalog: ServiceCatalog,
    private readonly instances: InstanceStore,
    private readonly bindings: BindingStore,
    private readonly work: BindingWork,
  ) {}

  /** Halts the making of the binding where it still runs, then removes what is there. */
  async unbind(instanceId: string, id: string, query: DeleteQuery): Promise<void> {
    let halted = false;
    for (const until = Date.now() + PATIENCE_MS; Date.now() < until; await pause(LOOK_MS)) {
      const [instance, binding] = await Promise.all([
        this.instances.find(instanceId),
        this.bindings.find(instanceId, id),
      ]);
      if (instance === null || binding === null) return gone(halted);
      this.catalog.assertOf(instance, query);
      if (await this.#hold(instance, binding)) return this.work.remove(instance, binding, CALL_LIMIT_MS);
      if (await this.bindings.halt(instanceId, id)) {
        halted = true;
        this.work.interrupt(instanceId, id);
      }
    }
    throw concurrency('another operation on this binding is in progress');
  }

  /** False: another call is at it. */
  async #hold(instance: ServiceInstance, { instanceId, id, state, runner }: ServiceBinding): Promise<boolean> {
    if (instance.state !== 'ready' && instance.state !== 'failed') throw concurrency();
    if (state === 'ready') return this.bindings.beginRemoval(instanceId, id);
    if (state === 'binding' || !(await this.bindings.takeOver(instanceId, id, 'unbinding'))) return false;
    await this.work.endFormer(instance, runner);
    return true;
  }
}

/** Where this call halted the creation, that has removed everything. */
function gone(halted: boolean): void {
  if (!halted) throw new BrokerError('gone', 'there is no binding of this id');
}
