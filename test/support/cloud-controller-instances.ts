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
  uniqueBy,
  unprocessable,
} from './cloud-controller-answers.js';
import { type Jobs } from './cloud-controller-jobs.js';
import { BrokerRefusal, callBroker, contextOf, planIds, untilDone } from './cloud-controller-osb.js';
import { brokerForm, found, offeringForm, planForm } from './cloud-controller-services.js';
import {
  type Instance,
  type Job,
  type LastOperation,
  operation,
  type Plan,
  removeFrom,
  type User,
  type World,
} from './cloud-controller-world.js';

interface InstanceBody {
  name?: string;
  parameters?: Record<string, unknown>;
  tags?: string[];
  relationships?: { space?: { data: { guid: string } }; service_plan?: { data: { guid: string } } };
}

interface ByGuid {
  Params: { guid: string };
}

/** Service instances, and what a user may do with one. */
export class Instances {
  constructor(
    private readonly world: World,
    private readonly jobs: Jobs,
    private readonly base: () => string,
    private readonly who: (request: FastifyRequest) => Promise<User>,
  ) {}

  routes(server: FastifyInstance): void {
    this.#reading(server);
    this.#writing(server);
  }

  #reading(server: FastifyInstance): void {
    server.get('/v3/service_instances', async (request) => {
      const user = await this.who(request);
      const query = queryOf(request);
      const instances = this.world.instances.filter(
        ({ guid, name, space }) =>
          this.world.mayRead(user, space) &&
          admits(query, 'names', name) &&
          admits(query, 'guids', guid) &&
          admits(query, 'space_guids', space.guid) &&
          admits(query, 'organization_guids', space.organization.guid),
      );
      return listOf(request, this.base(), instances.map(instanceForm), included(query, instances));
    });
    server.get<ByGuid>('/v3/service_instances/:guid', async (request) =>
      instanceForm(await this.#readable(request, request.params.guid)),
    );
    server.get<ByGuid>(
      '/v3/service_instances/:guid/parameters',
      async (request) => (await this.#readable(request, request.params.guid)).parameters,
    );
    server.get<ByGuid>('/v3/service_instances/:guid/permissions', async (request) => {
      const user = await this.who(request);
      const { space } = found(this.world.instances, request.params.guid, 'Service instance');
      return { manage: this.world.mayWrite(user, space), read: this.world.mayRead(user, space) };
    });
    server.get<ByGuid>('/v3/service_instances/:guid/relationships/shared_spaces', async (request) => {
      await this.#readable(request, request.params.guid);
      return { data: [], links: {} };
    });
  }

  #writing(server: FastifyInstance): void {
    server.post('/v3/service_instances', async (request, reply) => {
      const user = await this.who(request);
      const instance = this.#draft(user, request.body as InstanceBody);
      const job = await this.jobs.begin('service_instance.create', (of) => this.#create(instance, user, of));
      return accepted(reply, this.base(), job);
    });
    server.patch<ByGuid>('/v3/service_instances/:guid', async (request, reply) => {
      const user = await this.who(request);
      const instance = await this.#writable(request, user, request.params.guid);
      const body = request.body as InstanceBody;
      const job = await this.jobs.begin('service_instance.update', (of) => this.#update(instance, body, user, of));
      return accepted(reply, this.base(), job);
    });
    server.delete<ByGuid>('/v3/service_instances/:guid', async (request, reply) => {
      const user = await this.who(request);
      const instance = await this.#writable(request, user, request.params.guid);
      if (queryOf(request)['purge'] === 'true' || instance.plan === undefined) {
        removeFrom(this.world.instances, instance);
        return reply.status(204).send();
      }
      const job = await this.jobs.begin('service_instance.delete', (of) => this.#delete(instance, user, of));
      return accepted(reply, this.base(), job);
    });
  }

  #draft(user: User, body: InstanceBody): Instance {
    const space = this.world.spaces.find(({ guid }) => guid === body.relationships?.space?.data.guid);
    const plan = this.world.plans.find(({ guid }) => guid === body.relationships?.service_plan?.data.guid);
    if (space === undefined || !this.world.mayRead(user, space))
      throw unprocessable('Invalid space. Ensure that the space exists and you have access to it.');
    if (plan === undefined)
      throw unprocessable(
        'Invalid service plan. Ensure that the service plan exists, is available, and you have access to it.',
      );
    if (!this.world.mayWrite(user, space)) throw forbidden();
    const { name = '', parameters = {}, tags = [] } = body;
    if (this.world.instances.some((each) => each.name === name && each.space === space))
      throw unprocessable(`The service instance name is taken: ${name}.`);
    const instance = this.world.addInstance(randomUUID(), { name, space, plan });
    return Object.assign(instance, { parameters, tags, lastOperation: operation('create', 'initial') });
  }

  async #create(instance: Instance, user: User, job: Job): Promise<void> {
    const { space, parameters } = instance;
    const ids = planIds(planOf(instance));
    await this.#ask(instance, 'create', job, {
      method: 'PUT',
      user,
      body: {
        ...ids,
        organization_guid: space.organization.guid,
        space_guid: space.guid,
        context: contextOf(instance),
        ...(Object.keys(parameters).length > 0 && { parameters }),
      },
    });
  }

  async #update(instance: Instance, body: InstanceBody, user: User, job: Job): Promise<void> {
    const former = planIds(planOf(instance));
    const { name, tags, parameters = {} } = body;
    const wanted = body.relationships?.service_plan?.data.guid;
    const plan = wanted === undefined ? instance.plan : found(this.world.plans, wanted, 'Service plan');
    Object.assign(instance, { ...(name && { name }), ...(tags && { tags }) });
    const { organization, guid: space } = instance.space;
    await this.#ask({ ...instance, plan }, 'update', job, {
      method: 'PATCH',
      user,
      body: {
        ...planIds(plan ?? planOf(instance)),
        context: contextOf(instance),
        parameters,
        previous_values: { ...former, organization_id: organization.guid, space_id: space },
      },
    });
    instance.plan = plan;
    Object.assign(instance.parameters, parameters);
    instance.lastOperation = operation('update', 'succeeded');
  }

  async #delete(instance: Instance, user: User, job: Job): Promise<void> {
    for (const binding of this.world.bindings.filter((each) => each.instance === instance)) {
      const path = `/v2/service_instances/${instance.guid}/service_bindings/${binding.guid}`;
      const { broker } = planOf(instance).offering;
      await callBroker(broker, 'DELETE', path, { user, query: planIds(planOf(instance)) });
      removeFrom(this.world.bindings, binding);
    }
    await this.#ask(instance, 'delete', job, { method: 'DELETE', user });
    removeFrom(this.world.instances, instance);
  }

  /** One call on the broker and, where it has only accepted the work, its end. */
  async #ask(
    instance: Instance,
    type: LastOperation['type'],
    job: Job,
    { method, ...call }: { method: string; user: User; body?: object },
  ): Promise<void> {
    const { broker } = planOf(instance).offering;
    const path = `/v2/service_instances/${instance.guid}`;
    const ids: Record<string, string> = planIds(planOf(instance));
    instance.lastOperation = operation(type, 'in progress');
    try {
      const query = { accepts_incomplete: 'true', ...(method === 'DELETE' && ids) };
      const { status, body } = await callBroker(broker, method, path, { ...call, query });
      if (typeof body['dashboard_url'] === 'string') instance.dashboardUrl = body['dashboard_url'];
      if (status === 202) {
        job.state = 'POLLING';
        const pending = typeof body['operation'] === 'string' ? { operation: body['operation'] } : {};
        await untilDone(broker, path, { ...ids, ...pending });
      }
      instance.lastOperation = operation(type, 'succeeded');
    } catch (error) {
      const said = error instanceof BrokerRefusal ? error.message : String(error);
      instance.lastOperation = operation(type, 'failed', said);
      throw error;
    }
  }

  async #readable(request: FastifyRequest, guid: string): Promise<Instance> {
    const user = await this.who(request);
    const instance = found(this.world.instances, guid, 'Service instance');
    if (!this.world.mayRead(user, instance.space)) throw notFound('Service instance');
    return instance;
  }

  async #writable(request: FastifyRequest, user: User, guid: string): Promise<Instance> {
    const instance = await this.#readable(request, guid);
    if (!this.world.mayWrite(user, instance.space)) throw forbidden();
    return instance;
  }
}

function planOf({ plan, name }: Instance): Plan {
  if (plan === undefined) throw new BrokerRefusal(`the service instance ${name} has no broker`);
  return plan;
}

function instanceForm({ guid, name, space, plan, tags, dashboardUrl, lastOperation }: Instance): object {
  const { type, state, description, at } = lastOperation;
  return {
    guid,
    name,
    created_at: at,
    updated_at: at,
    type: 'managed',
    tags,
    maintenance_info: plan?.catalog['maintenance_info'] ?? {},
    upgrade_available: false,
    dashboard_url: dashboardUrl ?? null,
    last_operation: { type, state, description, created_at: at, updated_at: at },
    relationships: { space: related(space.guid), service_plan: related(plan?.guid) },
    metadata,
  };
}

/** What `fields[...]` asks for. */
function included(query: Record<string, string | undefined>, instances: Instance[]): object | undefined {
  const plans = uniqueBy(instances.map(({ plan }) => plan));
  const offerings = uniqueBy(plans.map(({ offering }) => offering));
  const spaces = uniqueBy(instances.map(({ space }) => space));
  const organizations = uniqueBy(spaces.map(({ organization }) => organization));
  const parts = {
    'fields[service_plan]': { service_plans: plans.map(planForm) },
    'fields[service_plan.service_offering]': { service_offerings: offerings.map(offeringForm) },
    'fields[service_plan.service_offering.service_broker]': {
      service_brokers: uniqueBy(offerings.map(({ broker }) => broker)).map(brokerForm),
    },
    'fields[space]': {
      spaces: spaces.map(({ guid, name, organization }) => ({
        guid,
        name,
        relationships: { organization: related(organization.guid) },
      })),
    },
    'fields[space.organization]': { organizations: organizations.map(({ guid, name }) => ({ guid, name })) },
  };
  const asked = Object.entries(parts).filter(([key]) => key in query);
  return asked.length === 0 ? undefined : (Object.assign({}, ...asked.map(([, part]) => part)) as object);
}
