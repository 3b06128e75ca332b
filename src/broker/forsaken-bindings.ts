import { Injectable } from '@nestjs/common';
import { BindingStore, type Forsaken } from '../instances/binding-store.js';
import { InstanceStore } from '../instances/instance-store.js';
import { BindingWork } from './binding-work.js';

/** Bindings whose broker died, or could not reach their server: what was asked for last is done. */
@Injectable()
export class ForsakenBindings {
  constructor(
    private readonly instances: InstanceStore,
    private readonly bindings: BindingStore,
    private readonly work: BindingWork,
  ) {}

  list(): Promise<Forsaken[]> {
    return this.bindings.forsaken();
  }

  /** Repeatable; does nothing where another call is at it already. */
  async finish({ instanceId, id, state, runner, server }: Forsaken, reachable: ReadonlySet<string>): Promise<void> {
    if (!reachable.has(server)) return;
    if (!(await this.bindings.takeOver(instanceId, id, state))) return;
    const [instance, binding] = await Promise.all([
      this.instances.find(instanceId),
      this.bindings.find(instanceId, id),
    ]);
    if (instance === null || binding === null) return;
    await this.work.endFormer(instance, runner);
    await (state === 'binding' ? this.work.make(instance, binding) : this.work.remove(instance, binding));
  }
}
