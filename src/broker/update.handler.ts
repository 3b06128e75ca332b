import { Injectable } from '@nestjs/common';
import { type EntityManager } from 'typeorm';
import { BrokerError } from '../errors.js';
import { BindingStore } from '../instances/binding-store.js';
import { InstanceStore } from '../instances/instance-store.js';
import {
  type InstanceParameters,
  type PlanLimits,
  type ServiceInstance,
} from '../instances/service-instance.entity.js';
import { type OperationContext, type OperationHandler, type Outcome } from '../operations/operation-handler.js';
import { type Operation } from '../operations/operation.entity.js';
import { PostgresServers } from '../postgres/postgres-servers.js';
import { TenantDatabases } from '../postgres/tenant-databases.js';
import { BindingHolds } from './binding-holds.js';
import { namesOf, tenantLimits } from './plan-limits.js';
import { strayAfter, type UpdateTarget } from './update-target.js';

/** What of an instance is on its server and can be changed there. */
interface Applied {
  parameters: InstanceParameters;
  limits: PlanLimits;
}

const SETTLED = { state: 'ready', diverged: false, strayExtensions: [] as string[] } as const;

/** Brings the living database and roles to the target; what was applied is taken back where it fails. */
@Injectable()
export class UpdateHandler implements OperationHandler {
  readonly kind = 'update';

  constructor(
    private readonly instances: InstanceStore,
    private readonly bindings: BindingStore,
    private readonly holds: BindingHolds,
    private readonly servers: PostgresServers,
    private readonly databases: TenantDatabases,
  ) {}

  async run(context: OperationContext): Promise<Outcome> {
    const instance = await this.instances.get(context.operation.instanceId);
    const target = context.operation.input['target'] as UpdateTarget;
    if (context.formerRunner !== null) await this.servers.endSessionsOf(instance.server, context.formerRunner);
    await this.holds.quiet(instance.id, context.signal);
    await this.#apply(instance, instance, target, context);
    await this.#dropStrays(instance, target, context);
    const settled = { ...target, ...SETTLED };
    return { conclude: (manager) => this.instances.change(instance.id, ['updating'], settled, manager) };
  }

  async undo(context: OperationContext): Promise<Outcome> {
    const instance = await this.instances.find(context.operation.instanceId);
    if (instance === null) return {};
    const target = context.operation.input['target'] as UpdateTarget;
    if (context.formerRunner !== null) await this.servers.endSessionsOf(instance.server, context.formerRunner);
    await this.#apply(instance, target, instance, context);
    await this.#dropStrays(instance, instance, context);
    return { conclude: (manager) => this.instances.change(instance.id, ['updating'], SETTLED, manager) };
  }

  async abandon({ instanceId, input }: Operation, manager: EntityManager): Promise<void> {
    const instance = await this.instances.get(instanceId);
    const diverged = { state: 'ready', diverged: true, strayExtensions: strayAfter(instance, input) } as const;
    await this.instances.change(instanceId, ['updating'], diverged, manager);
  }

  /** Extensions first: they may be refused, and then nothing else was touched. */
  async #apply(instance: ServiceInstance, from: Applied, to: Applied, context: OperationContext): Promise<void> {
    const names = namesOf(instance);
    await this.databases.setExtensions(
      names,
      to.parameters.extensions ?? [],
      from.parameters.extensions ?? [],
      context,
    );
    const living = (await this.bindings.of(instance.id)).filter(({ state }) => state !== 'unbinding');
    const roles = living.map(({ role, access }) => ({ role, access }));
    await this.databases.applyLimits(names, tenantLimits(to.limits), roles, context);
  }

  /** What updates before this one have left; where the application uses it by now, it stays the application's. */
  async #dropStrays(instance: ServiceInstance, { parameters }: Applied, context: OperationContext): Promise<void> {
    if (instance.strayExtensions.length === 0) return;
    try {
      const kept = parameters.extensions ?? [];
      await this.databases.setExtensions(namesOf(instance), kept, instance.strayExtensions, context);
    } catch (error) {
      if (!(error instanceof BrokerError && error.code === 'invalid_request')) throw error;
    }
  }
}
