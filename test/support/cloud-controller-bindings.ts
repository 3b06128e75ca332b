import { randomUUID } from 'node:crypto';
import { type FastifyInstance, type FastifyRequest } from 'fastify';
import {
  accepted,
  admits,
  forbidden,
  listOf,
  metadata,
  notFound,
  queryOf,
  related,
  unprocessable,
} from './cloud-controller-answers.js';
import { type Jobs } from './cloud-controller-jobs.js';
import { callBroker, contextOf, planIds } from './cloud-controller-osb.js';
import { found } from './cloud-controller-services.js';
import {
  type CredentialBinding,
  type Instance,
  operation,
  removeFrom,
  type User,
  type World,
} from './cloud-controller-world.js';

interface BindingBody {
  type?: 'app' | 'key';
  name?: string;
  parameters?: Record<string, unknown>;
  relationships?: { service_instance?: { data: { guid: string } } };
}

interface ByGuid {
  Params: { guid: string };
}

/** Service keys; there are no apps here. */
export class CredentialBindings {
  constructor(
    private readonly world: World,
    private readonly jobs: Jobs,
    private readonly base: () => string,
    private readonly who: (request: FastifyRequest) => Promise<User>,
  ) {}

  routes(server: FastifyInstance): void {
    server.get('/v3/service_credential_bindings', async (request) => {
      const user = await this.who(request);
      const query = queryOf(request);
      const bindings = this.world.bindings.filter(
        ({ name, type, instance }) =>
          this.world.mayRead(user, instance.space) &&
          admits(query, 'names', name) &&
          admits(query, 'type', type) &&
          admits(query, 'service_instance_guids', instance.guid),
      );
      return listOf(request, this.base(), bindings.map(bindingForm), { apps: [] });
    });
    server.post('/v3/service_credential_bindings', async (request, reply) => {
      const user = await this.who(request);
      const body = request.body as BindingBody;
      const instance = this.#instance(user, body.relationships?.service_instance?.data.guid ?? '');
      const binding = this.#draft(instance, body);
      const job = await this.jobs.begin('service_credential_binding.create', () => this.#bind(binding, body, user));
      return accepted(reply, this.base(), job);
    });
    server.get<ByGuid>('/v3/service_credential_bindings/:guid/details', async (request) => {
      const { credentials } = await this.#writable(request, request.params.guid);
      return { credentials, syslog_drain_url: null, volume_mounts: [] };
    });
    server.delete<ByGuid>('/v3/service_credential_bindings/:guid', async (request, reply) => {
      const binding = await this.#writable(request, request.params.guid);
      const user = await this.who(request);
      const job = await this.jobs.begin('service_credential_binding.delete', async () => {
        await this.#call('DELETE', binding, user);
        removeFrom(this.world.bindings, binding);
      });
      return accepted(reply, this.base(), job);
    });
  }

  #draft(instance: Instance, { type = 'key', name = '' }: BindingBody): CredentialBinding {
    if (this.world.bindings.some((each) => each.instance === instance && each.name === name))
      throw unprocessable(`Key binding names must be unique: ${name}`);
    const lastOperation = operation('create', 'in progress');
    const binding: CredentialBinding = { guid: randomUUID(), type, name, instance, credentials: {}, lastOperation };
    this.world.bindings.push(binding);
    return binding;
  }

  async #bind(binding: CredentialBinding, { parameters }: BindingBody, user: User): Promise<void> {
    try {
      const answer = await this.#call('PUT', binding, user, parameters);
      binding.credentials = answer['credentials'] as Record<string, unknown>;
      binding.lastOperation = operation('create', 'succeeded');
    } catch (error) {
      removeFrom(this.world.bindings, binding);
      throw error;
    }
  }

  async #call(method: 'PUT' | 'DELETE', binding: CredentialBinding, user: User, parameters?: object) {
    const { instance } = binding;
    const { plan, space } = instance;
    if (plan === undefined) throw new Error(`the service instance ${instance.name} has no broker`);
    const ids: Record<string, string> = planIds(plan);
    const body = {
      ...ids,
      bind_resource: { credential_client_id: 'key', space_guid: space.guid },
      context: contextOf(instance),
      ...(parameters && { parameters }),
    };
    const path = `/v2/service_instances/${instance.guid}/service_bindings/${binding.guid}`;
    const call = method === 'PUT' ? { user, body } : { user, query: ids };
    return (await callBroker(plan.offering.broker, method, path, call)).body;
  }

  #instance(user: User, guid: string): Instance {
    const instance = this.world.instances.find((each) => each.guid === guid);
    if (instance === undefined || !this.world.mayRead(user, instance.space))
      throw unprocessable(`The service instance could not be found: '${guid}'`);
    if (!this.world.mayWrite(user, instance.space)) throw forbidden();
    return instance;
  }

  /** Credentials are for those who may write. */
  async #writable(request: FastifyRequest, guid: string): Promise<CredentialBinding> {
    const user = await this.who(request);
    const binding = found(this.world.bindings, guid, 'Service credential binding');
    if (!this.world.mayWrite(user, binding.instance.space)) throw notFound('Service credential binding');
    return binding;
  }
}

function bindingForm({ guid, name, type, instance, lastOperation }: CredentialBinding): object {
  const { type: kind, state, description, at } = lastOperation;
  return {
    guid,
    name,
    type,
    created_at: at,
    updated_at: at,
    last_operation: { type: kind, state, description, created_at: at, updated_at: at },
    relationships: { service_instance: related(instance.guid) },
    metadata,
  };
}
