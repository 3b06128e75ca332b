import { Injectable } from '@nestjs/common';
import { BrokerError, unknownInstance } from '../errors.js';
import { InstanceStore } from '../instances/instance-store.js';
import { type ServiceInstance } from '../instances/service-instance.entity.js';
import { type Operation } from '../operations/operation.entity.js';
import { OperationsService } from '../operations/operations.service.js';
import { type InstanceAnswer, type LastOperationAnswer } from './answers.dto.js';
import { concurrency } from './refusals.js';

/** How long last_operation still says that a deleted instance was deleted. */
const TOMBSTONE_MS = 3_600_000;

/** Backups and their like are no concern of the platform's. */
const PLATFORM_KINDS = ['provision', 'update', 'deprovision'] as const;

@Injectable()
export class InstanceQueries {
  constructor(
    private readonly instances: InstanceStore,
    private readonly operations: OperationsService,
  ) {}

  async instance(id: string): Promise<InstanceAnswer> {
    const instance = await this.instances.get(id);
    if (instance.state === 'provisioning' || instance.state === 'failed') throw unknownInstance();
    if (instance.state !== 'ready') throw concurrency('this service instance is being updated or deleted');
    return {
      service_id: instance.serviceId,
      plan_id: instance.planId,
      parameters: { ...instance.parameters },
      ...(instance.maintenanceVersion !== null && { maintenance_info: { version: instance.maintenanceVersion } }),
    };
  }

  /** Of the operation that a 202 gave, else of the newest one. */
  async lastOperation(id: string, operationId: string | undefined): Promise<LastOperationAnswer> {
    const [instance, newest] = await Promise.all([this.instances.find(id), this.operations.latest(id, PLATFORM_KINDS)]);
    if (newest === null) return withoutOperation(instance);
    const operation = operationId === undefined || operationId === newest.id ? newest : await this.#of(id, operationId);
    if (operation.kind === 'deprovision' && operation.state === 'succeeded') assertRemembered(operation);
    return stateOf(operation, instance);
  }

  async #of(instanceId: string, operationId: string): Promise<Operation> {
    const operation = await this.operations.find(operationId).catch((error: unknown) => {
      if (error instanceof BrokerError && error.code === 'unknown_operation') return null;
      throw error;
    });
    if (operation?.instanceId === instanceId) return operation;
    throw new BrokerError('invalid_request', 'operation: not one of this service instance');
  }
}

/** Operations are kept for a time only; an instance that outlived its own was made well. */
function withoutOperation(instance: ServiceInstance | null): LastOperationAnswer {
  if (instance === null) throw unknownInstance();
  return { state: instance.state === 'failed' ? 'failed' : 'succeeded' };
}

function assertRemembered({ finishedAt }: Operation): void {
  if (finishedAt !== null && Date.now() - finishedAt.getTime() > TOMBSTONE_MS)
    throw new BrokerError('gone', 'there is no service instance of this id');
}

function stateOf(operation: Operation, instance: ServiceInstance | null): LastOperationAnswer {
  switch (operation.state) {
    case 'queued':
    case 'running':
      return {
        state: 'in progress',
        ...(operation.phase !== null && { description: operation.phase.replaceAll('_', ' ') }),
      };
    case 'succeeded':
      return { state: 'succeeded' };
    case 'cancelled':
      return { state: 'failed', description: `the ${operation.kind} was cancelled`, ...usability(operation, instance) };
    case 'failed':
      return {
        state: 'failed',
        description: operation.error?.detail ?? `the ${operation.kind} failed`,
        ...usability(operation, instance),
      };
  }
}

function usability({ kind }: Operation, instance: ServiceInstance | null): Partial<LastOperationAnswer> {
  if (kind === 'provision') return {};
  const usable = instance?.state === 'ready' || instance?.state === 'updating';
  return { instance_usable: usable, ...(kind === 'update' && { update_repeatable: usable }) };
}
