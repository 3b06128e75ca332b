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
import { callBroker } from './cloud-controller-osb.js';
import {
  type Offering,
  type Plan,
  removeFrom,
  type ServiceBroker,
  type User,
  type World,
} from './cloud-controller-world.js';

interface BrokerBody {
  name?: string;
  url?: string;
  authentication?: { credentials: { username: string; password: string } };
}

interface CatalogEntry extends Record<string, unknown> {
  id: string;
  name: string;
  plans: CatalogEntry[];
}

type Who = (request: FastifyRequest) => Promise<User>;
interface ByGuid {
  Params: { guid: string };
}

/** Service brokers, offerings, plans and their visibility. */
export class Services {
  constructor(
    private readonly world: World,
    private readonly jobs: Jobs,
    private readonly base: () => string,
    private readonly who: Who,
  ) {}

  routes(server: FastifyInstance): void {
    this.#brokers(server);
    this.#offerings(server);
    this.#plans(server);
  }

  #brokers(server: FastifyInstance): void {
    server.get('/v3/service_brokers', async (request) => {
      await this.who(request);
      const found = this.world.brokers.filter(({ name }) => admits(queryOf(request), 'names', name));
      return listOf(request, this.base(), found.map(brokerForm));
    });
    server.post('/v3/service_brokers', async (request, reply) => {
      await this.#admin(request);
      const { name = '', url = '', authentication } = request.body as BrokerBody;
      if (this.world.brokers.some((each) => each.name === name)) throw unprocessable('Name must be unique');
      const broker = {
        guid: randomUUID(),
        name,
        url,
        ...(authentication?.credentials ?? { username: '', password: '' }),
      };
      this.world.brokers.push(broker);
      return accepted(
        reply,
        this.base(),
        await this.jobs.begin('service_broker.catalog.synchronize', () => this.#sync(broker)),
      );
    });
    server.patch<ByGuid>('/v3/service_brokers/:guid', async (request, reply) => {
      await this.#admin(request);
      const broker = found(this.world.brokers, request.params.guid, 'Service broker');
      const { authentication, ...rest } = request.body as BrokerBody;
      Object.assign(broker, rest, authentication?.credentials);
      return accepted(reply, this.base(), await this.jobs.begin('service_broker.update', () => this.#sync(broker)));
    });
    server.delete<ByGuid>('/v3/service_brokers/:guid', async (request, reply) => {
      await this.#admin(request);
      const broker = found(this.world.brokers, request.params.guid, 'Service broker');
      if (this.world.instances.some(({ plan }) => plan?.offering.broker === broker))
        throw unprocessable(`Can not remove brokers that have associated service instances: ${broker.name}`);
      const job = await this.jobs.begin('service_broker.delete', () => Promise.resolve(this.#forget(broker)));
      return accepted(reply, this.base(), job);
    });
  }

  /** Reads the broker's catalog, as at its registration and at each update. */
  async #sync(broker: ServiceBroker): Promise<void> {
    const { body } = await callBroker(broker, 'GET', '/v2/catalog');
    for (const service of body['services'] as CatalogEntry[]) {
      const { plans, ...catalog } = service;
      let offering = this.world.offerings.find((each) => each.broker === broker && each.catalog['id'] === service.id);
      if (offering === undefined)
        this.world.offerings.push((offering = { guid: randomUUID(), name: service.name, broker, catalog }));
      Object.assign(offering, { name: service.name, catalog });
      for (const entry of plans) this.#syncPlan(offering, entry);
    }
  }

  #syncPlan(offering: Offering, entry: CatalogEntry): void {
    const known = this.world.plans.find((each) => each.offering === offering && each.catalog['id'] === entry.id);
    if (known) Object.assign(known, { name: entry.name, catalog: entry });
    else {
      const visibility = { type: 'admin' };
      this.world.plans.push({ guid: randomUUID(), name: entry.name, offering, catalog: entry, visibility });
    }
  }

  #forget(broker: ServiceBroker): void {
    for (const plan of [...this.world.plans]) if (plan.offering.broker === broker) removeFrom(this.world.plans, plan);
    for (const each of [...this.world.offerings]) if (each.broker === broker) removeFrom(this.world.offerings, each);
    removeFrom(this.world.brokers, broker);
  }

  #offerings(server: FastifyInstance): void {
    server.get('/v3/service_offerings', async (request) => {
      const user = await this.who(request);
      const query = queryOf(request);
      const offerings = this.world.offerings.filter(
        (each) =>
          admits(query, 'names', each.name) &&
          admits(query, 'service_broker_names', each.broker.name) &&
          this.world.plans.some((plan) => plan.offering === each && this.#sees(user, plan)),
      );
      const brokers = uniqueBy(offerings.map(({ broker }) => broker)).map(brokerForm);
      const included = 'fields[service_broker]' in query ? { service_brokers: brokers } : undefined;
      return listOf(request, this.base(), offerings.map(offeringForm), included);
    });
    server.get<ByGuid>('/v3/service_offerings/:guid', async (request) => {
      const user = await this.who(request);
      const offering = found(this.world.offerings, request.params.guid, 'Service offering');
      if (!this.world.plans.some((plan) => plan.offering === offering && this.#sees(user, plan)))
        throw notFound('Service offering');
      return offeringForm(offering);
    });
  }

  #plans(server: FastifyInstance): void {
    server.get('/v3/service_plans', async (request) => {
      const user = await this.who(request);
      const query = queryOf(request);
      const plans = this.world.plans.filter(
        (each) =>
          this.#sees(user, each) &&
          admits(query, 'names', each.name) &&
          admits(query, 'service_offering_guids', each.offering.guid) &&
          admits(query, 'service_offering_names', each.offering.name) &&
          admits(query, 'service_broker_names', each.offering.broker.name),
      );
      const offerings = uniqueBy(plans.map(({ offering }) => offering));
      const included = {
        service_offerings: offerings.map(offeringForm),
        service_brokers: uniqueBy(offerings.map(({ broker }) => broker)).map(brokerForm),
      };
      return listOf(request, this.base(), plans.map(planForm), 'include' in query ? included : undefined);
    });
    server.get<ByGuid>('/v3/service_plans/:guid', async (request) => {
      const user = await this.who(request);
      const plan = found(this.world.plans, request.params.guid, 'Service plan');
      if (!this.#sees(user, plan)) throw notFound('Service plan');
      return planForm(plan);
    });
    server.get<ByGuid>('/v3/service_plans/:guid/visibility', async (request) => {
      await this.#admin(request);
      return found(this.world.plans, request.params.guid, 'Service plan').visibility;
    });
    for (const method of ['POST', 'PATCH'])
      server.route<ByGuid>({
        method,
        url: '/v3/service_plans/:guid/visibility',
        handler: async (request) => {
          await this.#admin(request);
          const plan = found(this.world.plans, request.params.guid, 'Service plan');
          return (plan.visibility = request.body as Plan['visibility']);
        },
      });
  }

  #sees(user: User, { visibility }: Plan): boolean {
    return (
      user.admin ||
      visibility.type === 'public' ||
      (visibility.organizations ?? []).some(({ guid }) => this.#isIn(user, guid))
    );
  }

  #isIn(user: User, organization: string): boolean {
    return this.world.spaces.some((space) => space.organization.guid === organization && user.roles.has(space.guid));
  }

  async #admin(request: FastifyRequest): Promise<void> {
    if (!(await this.who(request)).admin) throw forbidden();
  }
}

export function found<T extends { guid: string }>(all: T[], guid: string, what: string): T {
  const one = all.find((each) => each.guid === guid);
  if (one === undefined) throw notFound(what);
  return one;
}

export function brokerForm({ guid, name, url }: ServiceBroker): object {
  return { guid, name, url, relationships: {}, metadata };
}

export function offeringForm({ guid, name, broker, catalog }: Offering): object {
  const shared = (catalog['metadata'] ?? {}) as Record<string, unknown>;
  return {
    guid,
    name,
    description: catalog['description'],
    available: true,
    tags: catalog['tags'] ?? [],
    requires: [],
    shareable: shared['shareable'] === true,
    documentation_url: shared['documentationUrl'] ?? null,
    broker_catalog: {
      id: catalog['id'],
      metadata: shared,
      features: { plan_updateable: true, bindable: true, instances_retrievable: true, bindings_retrievable: true },
    },
    relationships: { service_broker: related(broker.guid) },
    metadata,
  };
}

export function planForm({ guid, name, offering, catalog, visibility }: Plan): object {
  return {
    guid,
    name,
    description: catalog['description'],
    visibility_type: visibility.type,
    available: true,
    free: catalog['free'] ?? true,
    costs: [],
    maintenance_info: catalog['maintenance_info'] ?? {},
    broker_catalog: {
      id: catalog['id'],
      metadata: catalog['metadata'] ?? {},
      maximum_polling_duration: null,
      features: {},
    },
    schemas: catalog['schemas'] ?? {},
    relationships: { service_offering: related(offering.guid) },
    metadata,
  };
}
