import { setTimeout as pause } from 'node:timers/promises';
import { Inject, Injectable, Logger } from '@nestjs/common';
import { BROKER_IDENTITY } from '../config/config.module.js';
import { type BrokerIdentity } from '../config/identity.js';
import { BrokerError } from '../errors.js';
import { BindingStore, LEASE_MS } from '../instances/binding-store.js';
import { type ServiceBinding } from '../instances/service-binding.entity.js';
import { type ServiceInstance } from '../instances/service-instance.entity.js';
import { PostgresServers } from '../postgres/postgres-servers.js';
import { TenantDatabases } from '../postgres/tenant-databases.js';
import { namesOf, tenantLimits } from './plan-limits.js';
import { Sealing } from './sealing.js';

/** Within the hold, which is not renewed meanwhile. */
const TAKE_BACK_MS = LEASE_MS / 2;
const ABANDON_RETRY_MS = 500;
const RENEW_MS = LEASE_MS / 6;
/** Of a call; with its wait for another call before and the taking back after it, short of the Cloud Controller's 60 s. */
export const CALL_LIMIT_MS = 20_000;
/** Without a renewal for so long the work ends: another broker may soon go on with it. */
const LET_GO_MS = LEASE_MS - RENEW_MS;

export type BindingToMake = Pick<
  ServiceBinding,
  'instanceId' | 'id' | 'role' | 'access' | 'sealedPassword' | 'expiresAt'
>;

/** Makes and removes the login roles of bindings that this broker holds; the hold is renewed meanwhile. */
@Injectable()
export class BindingWork {
  readonly #logger = new Logger('Bindings');
  readonly #running = new Map<string, AbortController>();

  constructor(
    private readonly bindings: BindingStore,
    private readonly servers: PostgresServers,
    private readonly databases: TenantDatabases,
    private readonly sealing: Sealing,
    @Inject(BROKER_IDENTITY) private readonly identity: BrokerIdentity,
  ) {}

  /**
   * From binding to ready. What fails is taken back: at once, or where the server cannot be reached, later.
   * @param instance as it is since this broker holds the binding: before, it could be updated
   * @throws BrokerError `concurrency` where it was halted, `timed_out`
   */
  async make(instance: ServiceInstance, binding: BindingToMake, limitMs?: number): Promise<void> {
    const { instanceId, id, role, access, expiresAt } = binding;
    const password = this.sealing.open(binding.sealedPassword, instanceId, id);
    const ask = { role, access, password, expiresAt, limits: tenantLimits(instance.limits) };
    const create = (signal: AbortSignal) => this.databases.createBinding(namesOf(instance), ask, signal);
    try {
      await this.#held(binding, 'binding', create, limitMs);
      if (await this.bindings.finish(instanceId, id)) return;
      throw new BrokerError('concurrency', 'this binding was deleted while it was made');
    } catch (error) {
      await this.#takeBack(instance, binding, error);
      throw error;
    }
  }

  /** From unbinding to gone. Where it fails, it is left for the next who tries. */
  async remove(instance: ServiceInstance, binding: BindingToMake, limitMs?: number): Promise<void> {
    const { instanceId, id } = binding;
    const drop = (signal: AbortSignal) => this.databases.dropBinding(namesOf(instance), binding.role, signal);
    try {
      await this.#held(binding, 'unbinding', drop, limitMs);
      await this.bindings.remove(instanceId, id);
    } catch (error) {
      await this.bindings.release(instanceId, id).catch((failure: unknown) => this.#leave(binding, failure));
      throw error;
    }
  }

  /** Stops making it here at once; another broker sees the halt when it renews its hold. */
  interrupt(instanceId: string, id: string): void {
    this.#running.get(keyOf(instanceId, id))?.abort(new BrokerError('concurrency', 'this binding is being deleted'));
  }

  /** Ends what a broker that no longer renews its hold may still have running on the server. */
  async endFormer(instance: ServiceInstance, runner: string | null): Promise<void> {
    if (runner !== null && runner !== this.identity.runner) await this.servers.endSessionsOf(instance.server, runner);
  }

  async #takeBack(instance: ServiceInstance, binding: BindingToMake, reason: unknown): Promise<void> {
    const { instanceId, id, role } = binding;
    try {
      if (reason instanceof BrokerError && reason.code === 'server_unreachable') {
        await this.bindings.abandon(instanceId, id);
        return;
      }
      if (!(await this.bindings.keep(instanceId, id)) && (await this.#isAnothers(binding))) return;
      const dropped = await this.databases.dropBinding(namesOf(instance), role, AbortSignal.timeout(TAKE_BACK_MS)).then(
        () => true,
        () => false,
      );
      await (dropped ? this.bindings.remove(instanceId, id) : this.bindings.abandon(instanceId, id));
    } catch (failure) {
      this.#leave(binding, failure);
    }
  }

  /** Whether another broker goes on with it, or has finished it. A role that no row names any more is nobody's. */
  async #isAnothers({ instanceId, id, role }: BindingToMake): Promise<boolean> {
    const now = await this.bindings.find(instanceId, id);
    return now?.role === role && now.state !== 'unbinding';
  }

  async #held<T>(
    { instanceId, id }: BindingToMake,
    state: 'binding' | 'unbinding',
    work: (signal: AbortSignal) => Promise<T>,
    limitMs?: number,
  ): Promise<T> {
    const controller = new AbortController();
    const key = keyOf(instanceId, id);
    let renewed = performance.now();
    const renew = () => {
      const sent = performance.now();
      if (sent - renewed > LET_GO_MS)
        controller.abort(new BrokerError('concurrency', 'the hold on this binding was lost: try again'));
      return this.bindings.renew(instanceId, id, state).then(
        (held) => {
          renewed = sent;
          if (!held) controller.abort(new BrokerError('concurrency', 'this binding is being deleted'));
        },
        (error: unknown) => this.#logger.warn(`the hold on a binding cannot be renewed: ${String(error)}`),
      );
    };
    const timer = setInterval(() => void renew(), RENEW_MS);
    const slow = new BrokerError('timed_out', 'the server was too slow or too busy: try again');
    const limit = limitMs === undefined ? undefined : setTimeout(() => controller.abort(slow), limitMs);
    this.#running.set(key, controller);
    try {
      return await work(controller.signal);
    } finally {
      clearInterval(timer);
      clearTimeout(limit);
      this.#running.delete(key);
    }
  }

  /**
   * Where not even that could be written: it is tried again, so that others need not wait until the hold runs out;
   * not beyond that, since the binding may be another's by then.
   */
  #leave(binding: BindingToMake, failure: unknown): void {
    const { instanceId, id } = binding;
    this.#logger.warn(`binding ${id} of ${instanceId} is left to be cleaned up later: ${String(failure)}`);
    void this.#abandonSoon(binding, Date.now() + LEASE_MS / 2);
  }

  async #abandonSoon({ instanceId, id }: BindingToMake, until: number): Promise<void> {
    for (let done = false; !done && Date.now() < until;) {
      await pause(ABANDON_RETRY_MS, undefined, { ref: false });
      done = await this.bindings.abandon(instanceId, id).then(
        () => true,
        () => false,
      );
    }
  }
}

function keyOf(instanceId: string, id: string): string {
  return JSON.stringify([instanceId, id]);
}
