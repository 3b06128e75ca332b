import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager, In } from 'typeorm';
import { type QueryDeepPartialEntity } from 'typeorm/query-builder/QueryPartialEntity.js';
import { BrokerError, unknownInstance } from '../errors.js';
import { violates } from '../state/state-errors.js';
import { ServiceInstance, type ServiceInstanceState } from './service-instance.entity.js';

/** Without the columns that an insert leaves to the database. */
export type NewInstance = Omit<ServiceInstance, 'createdAt' | 'updatedAt' | 'strayExtensions'>;

/** What the state database knows of service instances; every change of state says from which states it may come. */
@Injectable()
export class InstanceStore {
  constructor(private readonly source: DataSource) {}

  find(id: string): Promise<ServiceInstance | null> {
    return this.source.manager.findOneBy(ServiceInstance, { id });
  }

  /** @throws BrokerError `unknown_instance` */
  async get(id: string): Promise<ServiceInstance> {
    const instance = await this.find(id);
    if (instance === null) throw unknownInstance();
    return instance;
  }

  /** How many instances each server holds; servers without any are left out. */
  async countByServer(): Promise<Map<string, number>> {
    const rows = await this.source.query<{ server: string; count: number }[]>(
      'SELECT server, count(*)::int AS count FROM service_instance GROUP BY server',
    );
    return new Map(rows.map(({ server, count }) => [server, count]));
  }

  /** Those that the broker itself has to clean up or to apply again. */
  unsettled(): Promise<ServiceInstance[]> {
    return this.source.manager.findBy(ServiceInstance, [{ state: 'failed' }, { state: 'ready', diverged: true }]);
  }

  /** Those whose state says that an operation is at them. */
  atWork(): Promise<ServiceInstance[]> {
    return this.source.manager.findBy(ServiceInstance, { state: In(['provisioning', 'updating', 'deprovisioning']) });
  }

  /** @throws the primary key's violation where the id is taken: see `isTaken` */
  async insert(instance: NewInstance, manager: EntityManager = this.source.manager): Promise<void> {
    await manager.insert(ServiceInstance, instance as QueryDeepPartialEntity<ServiceInstance>);
  }

  /**
   * Changes an instance that is in one of the states `from`.
   * @throws BrokerError `concurrency` where it is in another one by now, or gone
   */
  async change(
    id: string,
    from: ServiceInstanceState[],
    to: Partial<ServiceInstance>,
    manager: EntityManager = this.source.manager,
  ): Promise<void> {
    const { affected } = await manager.update(
      ServiceInstance,
      { id, state: In(from) },
      to as QueryDeepPartialEntity<ServiceInstance>,
    );
    if (affected !== 1)
      throw new BrokerError('concurrency', 'another operation on this service instance is in progress');
  }

  /** Its bindings go with it. */
  async remove(id: string, manager: EntityManager): Promise<void> {
    await manager.delete(ServiceInstance, { id });
  }

  /** Whether an error says that there is an instance of this id already. */
  isTaken(error: unknown): boolean {
    return violates(error, 'service_instance_pkey');
  }
}
