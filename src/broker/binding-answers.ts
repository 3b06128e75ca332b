import { Injectable } from '@nestjs/common';
import { BrokerError, unknownInstance } from '../errors.js';
import { BindingStore } from '../instances/binding-store.js';
import { InstanceStore } from '../instances/instance-store.js';
import { type ServiceBinding } from '../instances/service-binding.entity.js';
import { PostgresServers } from '../postgres/postgres-servers.js';
import { type BindingAnswer, type LastOperationAnswer, type RetrievedBindingAnswer } from './answers.dto.js';
import { type Bound } from './bind.service.js';
import { credentials, endpoints } from './credentials.js';
import { Sealing } from './sealing.js';

/** What is told of bindings: from the state database and the configuration, whatever the server does. */
@Injectable()
export class BindingAnswers {
  constructor(
    private readonly instances: InstanceStore,
    private readonly bindings: BindingStore,
    private readonly servers: PostgresServers,
    private readonly sealing: Sealing,
  ) {}

  of({ instance, binding }: Omit<Bound, 'created'>): BindingAnswer {
    const endpoint = this.servers.endpoint(instance.server);
    const password = this.sealing.open(binding.sealedPassword, binding.instanceId, binding.id);
    return {
      ...metadataOf(binding),
      credentials: credentials(endpoint, instance.database, binding.role, password),
      endpoints: endpoints(endpoint),
    };
  }

  async retrieved(instanceId: string, id: string): Promise<RetrievedBindingAnswer> {
    const [instance, binding] = await Promise.all([
      this.instances.find(instanceId),
      this.bindings.find(instanceId, id),
    ]);
    if (instance === null) throw unknownInstance();
    if (binding?.state !== 'ready') throw unknownBinding();
    return { ...this.of({ instance, binding }), parameters: { ...binding.parameters } };
  }

  /** Bindings are made and removed while the platform waits: in progress is what another call is at. */
  async lastOperation(instanceId: string, id: string): Promise<LastOperationAnswer> {
    const binding = await this.bindings.find(instanceId, id);
    if (binding === null) throw unknownBinding();
    return { state: binding.state === 'ready' ? 'succeeded' : 'in progress' };
  }
}

/** Times in UTC with fractions of a second (OSB 2.17, Binding Metadata Object). */
function metadataOf({ expiresAt, renewBefore }: Pick<ServiceBinding, 'expiresAt' | 'renewBefore'>) {
  if (expiresAt === null) return {};
  const renew = renewBefore === null ? {} : { renew_before: renewBefore.toISOString() };
  return { metadata: { expires_at: expiresAt.toISOString(), ...renew } };
}

function unknownBinding(): BrokerError {
  return new BrokerError('unknown_binding', 'there is no binding of this id');
}
