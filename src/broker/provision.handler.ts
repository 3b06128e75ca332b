import { Injectable } from '@nestjs/common';
import { type EntityManager } from 'typeorm';
import { BindingStore } from '../instances/binding-store.js';
import { InstanceStore } from '../instances/instance-store.js';
import { type ServiceInstance } from '../instances/service-instance.entity.js';
import { type OperationContext, type OperationHandler, type Outcome } from '../operations/operation-handler.js';
import { type Operation } from '../operations/operation.entity.js';
import { PostgresServers } from '../postgres/postgres-servers.js';
import { TenantDatabases } from '../postgres/tenant-databases.js';
import { namesOf, tenantLimits } from './plan-limits.js';

/** Makes the database and the roles of an instance; taken back as a whole where it fails or is cancelled. */
@Injectable()
export class ProvisionHandler implements OperationHandler {
  readonly kind = 'provision';

  constructor(
    private readonly instances: InstanceStore,
    private readonly bindings: BindingStore,
    private readonly servers: PostgresServers,
    private readonly databases: TenantDatabases,
  ) {}

  async run(context: OperationContext): Promise<Outcome> {
    const { operation } = context;
    const instance = await this.instances.get(operation.instanceId);
    const names = namesOf(instance);
    if (context.formerRunner !== null) await this.servers.endSessionsOf(names.server, context.formerRunner);
    if (operation.input['sweep'] === true) await this.#sweep(instance, context);
    const { locale, extensions = [] } = instance.parameters;
    const limits = tenantLimits(instance.limits);
    await this.databases.create(names, { ...(locale !== undefined && { locale }), limits, extensions }, context);
    return { conclude: (manager) => this.instances.change(instance.id, ['provisioning'], { state: 'ready' }, manager) };
  }

  async undo(context: OperationContext): Promise<Outcome> {
    const instance = await this.instances.find(context.operation.instanceId);
    if (instance === null) return {};
    if (context.formerRunner !== null) await this.servers.endSessionsOf(instance.server, context.formerRunner);
    await this.#sweep(instance, context);
    return { conclude: (manager) => this.instances.remove(instance.id, manager) };
  }

  /** A failed deprovision may have left bindings too. */
  async #sweep(instance: ServiceInstance, context: OperationContext): Promise<void> {
    const roles = (await this.bindings.of(instance.id)).map(({ role }) => role);
    await this.databases.drop(namesOf(instance), roles, context);
    await this.bindings.removeAll(instance.id);
  }

  abandon({ instanceId }: Operation, manager: EntityManager): Promise<void> {
    return this.instances.change(instanceId, ['provisioning'], { state: 'failed' }, manager);
  }
}
