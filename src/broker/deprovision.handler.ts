import { Injectable } from '@nestjs/common';
import { type EntityManager } from 'typeorm';
import { BindingStore } from '../instances/binding-store.js';
import { InstanceRemoval } from '../instances/instance-removal.js';
import { InstanceStore } from '../instances/instance-store.js';
import { type ServiceInstance } from '../instances/service-instance.entity.js';
import { type OperationContext, type OperationHandler, type Outcome } from '../operations/operation-handler.js';
import { type Operation } from '../operations/operation.entity.js';
import { PostgresServers } from '../postgres/postgres-servers.js';
import { TenantDatabases } from '../postgres/tenant-databases.js';
import { BindingHolds } from './binding-holds.js';
import { namesOf } from './plan-limits.js';

/** What the operation is told of the instance as it was. */
export interface DeprovisionInput {
  /** Nobody uses it: what cannot be removed now is removed later, and it never becomes ready. */
  failed?: boolean;
}

/** Removes the database and all roles of an instance, with its bindings; clients that are connected are ended. */
@Injectable()
export class DeprovisionHandler implements OperationHandler {
  readonly kind = 'deprovision';

  constructor(
    private readonly instances: InstanceStore,
    private readonly removal: InstanceRemoval,
    private readonly bindings: BindingStore,
    private readonly holds: BindingHolds,
    private readonly servers: PostgresServers,
    private readonly databases: TenantDatabases,
  ) {}

  async run(context: OperationContext): Promise<Outcome> {
    const instance = await this.instances.find(context.operation.instanceId);
    if (instance === null) return {};
    if (context.formerRunner !== null) await this.servers.endSessionsOf(instance.server, context.formerRunner);
    await this.bindings.haltAll(instance.id);
    await this.holds.quiet(instance.id, context.signal);
    await this.removal.prepare(instance, context.signal);
    const roles = (await this.bindings.of(instance.id)).map(({ role }) => role);
    await this.databases.drop(namesOf(instance), roles, context);
    return { conclude: (manager) => this.instances.remove(instance.id, manager) };
  }

  /** Where the database is still there, nothing was removed yet; else the broker itself removes the rest later. */
  async undo(context: OperationContext): Promise<Outcome> {
    const instance = await this.instances.find(context.operation.instanceId);
    if (instance === null) return {};
    const usable = !wasFailed(context.operation) && (await this.#hasDatabase(instance, context.signal));
    const state = usable ? 'ready' : 'failed';
    return { conclude: (manager) => this.instances.change(instance.id, ['deprovisioning'], { state }, manager) };
  }

  /** Whether it is still there shows when the server answers again. */
  abandon(operation: Operation, manager: EntityManager): Promise<void> {
    const left = wasFailed(operation) ? ({ state: 'failed' } as const) : ({ state: 'ready', diverged: true } as const);
    return this.instances.change(operation.instanceId, ['deprovisioning'], left, manager);
  }

  async #hasDatabase(instance: ServiceInstance, signal: AbortSignal): Promise<boolean> {
    return (await this.databases.size(namesOf(instance), signal)) !== undefined;
  }
}

function wasFailed({ input }: Operation): boolean {
  return (input as DeprovisionInput).failed === true;
}
