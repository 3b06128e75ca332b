import { Inject, Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { BROKER_IDENTITY } from '../config/config.module.js';
import { type BrokerIdentity } from '../config/identity.js';
import { ServiceBinding, type ServiceBindingState } from './service-binding.entity.js';
import { ServiceInstance } from './service-instance.entity.js';

export type NewBinding = Omit<ServiceBinding, 'createdAt' | 'updatedAt' | 'state' | 'runner' | 'leaseUntil'>;

export type Sealed = Pick<ServiceBinding, 'instanceId' | 'id' | 'sealedPassword'>;

/** An unfinished binding that nobody holds. */
export interface Forsaken {
  instanceId: string;
  id: string;
  state: ServiceBindingState;
  /** Who held it last, where that one did not let go of it. */
  runner: string | null;
  server: string;
}

/** How long a broker may go without renewing before another one may go on with its binding. */
export const LEASE_MS = 15_000;

const LEASE = `now() + interval '${LEASE_MS} milliseconds'`;
const FREE = '(runner IS NULL OR lease_until IS NULL OR lease_until < now())';

/** Keeps an instance from being updated or deprovisioned until the statement is committed. */
const OF_SETTLED = `FROM (SELECT id AS settled FROM service_instance
  WHERE id = $1 AND state IN ('ready', 'failed') FOR SHARE) AS instance`;

/**
 * What the state database knows of bindings. A binding that is being made or removed is held by one broker under a
 * lease; the database's clock decides. Losing the hold is seen by the one who lost it: its next write says false.
 */
@Injectable()
export class BindingStore {
  readonly #runner: string;
  readonly #node: string;

  constructor(
    private readonly source: DataSource,
    @Inject(BROKER_IDENTITY) identity: BrokerIdentity,
  ) {
    this.#runner = identity.runner;
    this.#node = identity.node;
  }

  find(instanceId: string, id: string): Promise<ServiceBinding | null> {
    return this.source.manager.findOneBy(ServiceBinding, { instanceId, id });
  }

  of(instanceId: string): Promise<ServiceBinding[]> {
    return this.source.manager.findBy(ServiceBinding, { instanceId });
  }

  /** Up to 100 that one of these keys has sealed, after that one in the order of the primary key. */
  sealedBy(keys: string[], after: { instanceId: string; id: string }): Promise<Sealed[]> {
    return this.source.query(
      `SELECT instance_id AS "instanceId", id, sealed_password AS "sealedPassword" FROM service_binding
       WHERE split_part(sealed_password, '.', 1) = ANY($1::text[]) AND (instance_id, id) > ($2, $3)
       ORDER BY instance_id, id LIMIT 100`,
      [keys, after.instanceId, after.id],
    );
  }

  /** Nothing where it was sealed anew since. */
  async reseal({ instanceId, id, sealedPassword }: Sealed, anew: string): Promise<void> {
    await this.#update('SET sealed_password = $4', 'sealed_password = $3', [instanceId, id, sealedPassword, anew]);
  }

  /**
   * Inserts a binding held by this broker, if its instance is ready (and keeps it so until this statement is
   * committed; from then on it is not changed while the binding is held). Gives that instance; null: the id is taken,
   * or the instance is not ready.
   */
  async begin(binding: NewBinding): Promise<ServiceInstance | null> {
    const rows = await this.source.query<Record<string, unknown>[]>(
      `WITH instance AS (SELECT * FROM service_instance WHERE id = $1 AND state = 'ready' FOR SHARE),
       inserted AS (
         INSERT INTO service_binding (instance_id, id, service_id, plan_id, parameters, bind_resource, context, fingerprint,
           state, role, access, sealed_password, predecessor_id, expires_at, renew_before, runner, lease_until)
         SELECT id, $2, $3, $4, $5, $6, $7, $8, 'binding', $9, $10, $11, $12, $13, $14, $15, ${LEASE} FROM instance
         ON CONFLICT DO NOTHING RETURNING 1)
       SELECT instance.* FROM instance, inserted`,
      [
        binding.instanceId,
        binding.id,
        binding.serviceId,
        binding.planId,
        binding.parameters,
        binding.bindResource,
        binding.context,
        binding.fingerprint,
        binding.role,
        binding.access,
        binding.sealedPassword,
        binding.predecessorId,
        binding.expiresAt,
        binding.renewBefore,
        this.#runner,
      ],
    );
    return rows[0] === undefined ? null : this.#instance(rows[0]);
  }

  /**
   * Takes an unfinished binding that nobody holds. False: somebody does, it is not in that state (any more), or its
   * instance is at work.
   */
  takeOver(instanceId: string, id: string, state: ServiceBindingState): Promise<boolean> {
    return this.#update(
      `SET runner = $3, lease_until = ${LEASE}, updated_at = now() ${OF_SETTLED}`,
      `state = $4 AND ${FREE} AND instance_id = settled`,
      [instanceId, id, this.#runner, state],
    );
  }

  /** From ready to unbinding, held by this broker. False: it is not ready (any more), or its instance is at work. */
  beginRemoval(instanceId: string, id: string): Promise<boolean> {
    return this.#update(
      `SET state = 'unbinding', runner = $3, lease_until = ${LEASE}, updated_at = now() ${OF_SETTLED}`,
      `state = 'ready' AND instance_id = settled`,
      [instanceId, id, this.#runner],
    );
  }

  /** Tells the one who makes the binding to stop; it keeps its hold until it has taken back what it made. */
  halt(instanceId: string, id: string): Promise<boolean> {
    return this.#update(`SET state = 'unbinding', updated_at = now()`, `state = 'binding'`, [instanceId, id]);
  }

  /** Halts all of an instance that are being made. */
  async haltAll(instanceId: string): Promise<void> {
    await this.source.query(
      `UPDATE service_binding SET state = 'unbinding', updated_at = now() WHERE instance_id = $1 AND state = 'binding'`,
      [instanceId],
    );
  }

  /** Those of an instance that somebody makes or removes right now. */
  async held(instanceId: string): Promise<number> {
    const [row] = await this.source.query<{ count: number }[]>(
      `SELECT count(*)::int AS count FROM service_binding WHERE instance_id = $1 AND NOT ${FREE}`,
      [instanceId],
    );
    return row?.count ?? 0;
  }

  /** False: the hold, or the state, was lost. */
  renew(instanceId: string, id: string, state: ServiceBindingState): Promise<boolean> {
    return this.#update(`SET lease_until = ${LEASE}`, `state = $4 AND runner = $3`, [
      instanceId,
      id,
      this.#runner,
      state,
    ]);
  }

  /** Renews the hold of a binding in whichever unfinished state. False: it was lost. */
  keep(instanceId: string, id: string): Promise<boolean> {
    return this.#update(`SET lease_until = ${LEASE}`, `state <> 'ready' AND runner = $3`, [
      instanceId,
      id,
      this.#runner,
    ]);
  }

  /** From binding to ready. False: it was halted, or taken over. */
  finish(instanceId: string, id: string): Promise<boolean> {
    return this.#update(
      `SET state = 'ready', runner = NULL, lease_until = NULL, updated_at = now()`,
      `state = 'binding' AND runner = $3`,
      [instanceId, id, this.#runner],
    );
  }

  /** Leaves it to whoever comes next, to be removed. */
  async abandon(instanceId: string, id: string): Promise<void> {
    await this.#update(
      `SET state = 'unbinding', runner = NULL, lease_until = NULL, updated_at = now()`,
      `state <> 'ready' AND runner = $3`,
      [instanceId, id, this.#runner],
    );
  }

  /** Lets go of it as it is. */
  async release(instanceId: string, id: string): Promise<void> {
    await this.#update(`SET runner = NULL, lease_until = NULL`, `state <> 'ready' AND runner = $3`, [
      instanceId,
      id,
      this.#runner,
    ]);
  }

  /** Deletes the row of a binding that this broker removes. */
  async remove(instanceId: string, id: string): Promise<void> {
    await this.source.query(
      `DELETE FROM service_binding WHERE instance_id = $1 AND id = $2 AND state <> 'ready' AND runner = $3`,
      [instanceId, id, this.#runner],
    );
  }

  /** Forgets all of an instance, when their roles are gone. */
  async removeAll(instanceId: string): Promise<void> {
    await this.source.manager.delete(ServiceBinding, { instanceId });
  }

  /** Counts bindings by the id of the key that sealed their password. */
  async countByKey(): Promise<Map<string, number>> {
    const rows = await this.source.query<{ key: string; count: number }[]>(
      `SELECT split_part(sealed_password, '.', 1) AS key, count(*)::int AS count FROM service_binding GROUP BY 1 ORDER BY 1`,
    );
    return new Map(rows.map(({ key, count }) => [key, count]));
  }

  /** Takes the holds away from the processes that this node ran before. */
  async releaseFormer(): Promise<void> {
    await this.source.query(
      `UPDATE service_binding SET runner = NULL, lease_until = NULL WHERE starts_with(runner, $1) AND runner <> $2`,
      [`${this.#node}/`, this.#runner],
    );
  }

  /** Unfinished ones that nobody holds, of instances that are not at work. */
  forsaken(): Promise<Forsaken[]> {
    return this.source.query<Forsaken[]>(
      `SELECT b.instance_id AS "instanceId", b.id, b.state, b.runner, i.server
       FROM service_binding b JOIN service_instance i ON i.id = b.instance_id AND i.state = 'ready'
       WHERE b.state <> 'ready' AND ${FREE} LIMIT 500`,
    );
  }

  #instance(row: Record<string, unknown>): ServiceInstance {
    const { columns } = this.source.getMetadata(ServiceInstance);
    const values = columns.map(({ propertyName, databaseName }) => [propertyName, row[databaseName]] as const);
    return Object.assign(new ServiceInstance(), Object.fromEntries<unknown>(values));
  }

  async #update(set: string, where: string, values: unknown[]): Promise<boolean> {
    const [, affected] = await this.source.query<[unknown[], number]>(
      `UPDATE service_binding ${set} WHERE instance_id = $1 AND id = $2 AND ${where}`,
      values,
    );
    return affected === 1;
  }
}
