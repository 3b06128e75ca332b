import { setTimeout as pause } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { BrokerError, unknownInstance } from '../errors.js';
import { BindingStore, type NewBinding } from '../instances/binding-store.js';
import { InstanceStore } from '../instances/instance-store.js';
import { type ServiceBinding } from '../instances/service-binding.entity.js';
import { type ServiceInstance } from '../instances/service-instance.entity.js';
import { PostgresServers } from '../postgres/postgres-servers.js';
import { BindingDraft, fingerprintOf } from './binding-draft.js';
import { BindingWork, CALL_LIMIT_MS } from './binding-work.js';
import { ServiceCatalog } from './catalog.js';
import { asUserMistake, concurrency } from './refusals.js';
import { type BindRequest } from './requests.dto.js';

/** The binding, `created` by this call or found. */
export interface Bound {
  created: boolean;
  instance: ServiceInstance;
  binding: Pick<ServiceBinding, 'instanceId' | 'id' | 'role' | 'sealedPassword' | 'expiresAt' | 'renewBefore'>;
}

/** How long a call waits for another one on the same binding. */
const PATIENCE_MS = 30_000;
const LOOK_MS = 50;

@Injectable()
export class BindService {
  constructor(
    private readonly catalog: ServiceCatalog,
    private readonly instances: InstanceStore,
    private readonly bindings: BindingStore,
    private readonly drafts: BindingDraft,
    private readonly work: BindingWork,
    private readonly servers: PostgresServers,
  ) {}

  /** The primary key decides between calls at the same moment; who loses waits for what the winner makes. */
  async bind(instanceId: string, id: string, request: BindRequest): Promise<Bound> {
    const until = Date.now() + PATIENCE_MS;
    while (Date.now() < until) {
      const instance = await this.#instance(instanceId, request);
      const bound = (await this.#insert(instance, id, request)) ?? (await this.#look(instance, id, request));
      if (bound !== null) return bound;
      await pause(LOOK_MS);
    }
    throw concurrency('another operation on this binding is in progress');
  }

  /** Null: the id is taken, or the instance is at work. A repeated call may name a predecessor that is gone by now. */
  async #insert(instance: ServiceInstance, id: string, request: BindRequest): Promise<Bound | null> {
    if (request.predecessor_binding_id && (await this.bindings.find(instance.id, id)) !== null) return null;
    this.servers.assertConfigured(instance.server);
    const draft = await this.drafts.draw(instance, id, request);
    const begun = instance.state === 'ready' ? await this.bindings.begin(draft) : null;
    return begun === null ? null : this.#make(begun, draft);
  }

  /** Null: another call is at it, or something changed between two looks. */
  async #look(instance: ServiceInstance, id: string, request: BindRequest): Promise<Bound | null> {
    const existing = await this.bindings.find(instance.id, id);
    if (existing !== null && existing.state !== 'unbinding' && existing.fingerprint !== fingerprintOf(request))
      throw new BrokerError('conflict', 'there is a binding of this id with other parameters or another resource');
    if (existing?.state === 'ready') return { created: false, instance, binding: existing };
    if (instance.state !== 'ready') throw concurrency();
    return existing === null ? null : this.#goOn(instance, existing);
  }

  async #instance(instanceId: string, request: BindRequest): Promise<ServiceInstance> {
    const instance = await this.instances.find(instanceId);
    if (instance === null) this.catalog.get(request.service_id, request.plan_id);
    else this.catalog.assertOf(instance, request);
    if (instance === null || instance.state === 'failed') throw unknownInstance();
    return instance;
  }

  /** Takes up what nobody is at: finishes its making, or its removal. */
  async #goOn(instance: ServiceInstance, existing: ServiceBinding): Promise<Bound | null> {
    const { instanceId, id, state, runner } = existing;
    if (!(await this.bindings.takeOver(instanceId, id, state))) return null;
    await this.work.endFormer(instance, runner);
    if (state === 'binding') return this.#make(await this.instances.get(instanceId), existing);
    await this.work.remove(instance, existing, CALL_LIMIT_MS);
    return null;
  }

  /** @param instance as it is since this broker holds the binding */
  async #make(instance: ServiceInstance, binding: NewBinding): Promise<Bound> {
    await asUserMistake(this.work.make(instance, binding, CALL_LIMIT_MS));
    return { created: true, instance, binding };
  }
}
