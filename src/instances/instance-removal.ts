import { Injectable } from '@nestjs/common';
import { type ServiceInstance } from './service-instance.entity.js';

/** Repeatable: it is called again where a removal broke off. What it throws fails the removal. */
type BeforeRemoval = (instance: ServiceInstance, signal: AbortSignal) => Promise<void>;

/** What other features keep of an instance on its server, and must take away before its database and roles go. */
@Injectable()
export class InstanceRemoval {
  readonly #before: BeforeRemoval[] = [];

  before(work: BeforeRemoval): void {
    this.#before.push(work);
  }

  async prepare(instance: ServiceInstance, signal: AbortSignal): Promise<void> {
    for (const work of this.#before) await work(instance, signal);
  }
}
