import { createHash } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { type CatalogPlan, type CatalogService } from '../config/catalog.js';
import { BROKER_CONFIG } from '../config/config.module.js';
import { type BrokerConfig } from '../config/schema.js';
import { BrokerError } from '../errors.js';
import {
  bindingParametersCheck,
  instanceParametersCheck,
  type ParameterCheck,
  planSchemas,
} from './parameter-schemas.js';

/** Version of the API under which backups are made and restored, as the catalog names it. */
const BACKUP_API_VERSION = '1.0';

/** Plan properties that are the broker's own business: never sent, since a platform may refuse what it does not know. */
const OWN_PROPERTIES = new Set(['limits', 'backup', 'binding_max_age']);

export interface OfferedPlan {
  service: CatalogService;
  plan: CatalogPlan;
  /** The version that the catalog shows; undefined where it shows none. */
  maintenanceVersion: string | undefined;
  create: ParameterCheck;
  update: ParameterCheck;
  bind: ParameterCheck;
}

/** What is offered: the configured services as the platform sees them, and as the broker looks them up. */
@Injectable()
export class ServiceCatalog {
  /** The body of `GET /v2/catalog`. */
  readonly document: { services: Record<string, unknown>[] };
  /** Strong entity tag of that body (RFC 9110, section 8.8.3). */
  readonly etag: string;
  readonly #plans = new Map<string, Map<string, OfferedPlan>>();

  constructor(@Inject(BROKER_CONFIG) config: BrokerConfig) {
    const { services } = config.catalog;
    const backupApi = config.http.external_url;
    this.document = { services: services.map((service) => publicService(service, backupApi)) };
    this.etag = `"${createHash('sha256').update(JSON.stringify(this.document)).digest('base64url')}"`;
    for (const service of services)
      this.#plans.set(service.id, new Map(service.plans.map((plan) => [plan.id, offered(service, plan)])));
  }

  /** Undefined where the plan left the catalog. */
  find(serviceId: string, planId: string): OfferedPlan | undefined {
    return this.#plans.get(serviceId)?.get(planId);
  }

  /** @throws BrokerError `invalid_request` naming `service_id` or `plan_id` and what is offered */
  get(serviceId: string, planId: string): OfferedPlan {
    const plans = this.#plans.get(serviceId);
    if (plans === undefined)
      throw new BrokerError('invalid_request', `service_id: unknown, expected one of ${list(this.#plans)}`);
    const plan = plans.get(planId);
    if (plan === undefined)
      throw new BrokerError('invalid_request', `plan_id: unknown in this service, expected one of ${list(plans)}`);
    return plan;
  }

  /**
   * Checks the ids that come with a call on something that exists. Its plan may be another one of the service, since a
   * platform that missed the answer to an update remembers the former plan, and must still be able to bind and delete.
   * @throws BrokerError `invalid_request` naming `service_id` or `plan_id`
   */
  assertOf(
    of: { serviceId: string; planId: string },
    { service_id: serviceId, plan_id: planId }: { service_id: string; plan_id: string },
  ): void {
    if (serviceId !== of.serviceId)
      throw new BrokerError('invalid_request', `service_id: expected ${of.serviceId}, which this instance is of`);
    if (planId !== of.planId) this.get(serviceId, planId);
  }

  /** @throws BrokerError `invalid_request` naming `service_id` */
  assertService(serviceId: string): void {
    if (!this.#plans.has(serviceId))
      throw new BrokerError('invalid_request', `service_id: unknown, expected one of ${list(this.#plans)}`);
  }
}

/** Whether instances may leave a plan for another; the plan's own word goes before its service's. */
export function planUpdateable({ service, plan }: OfferedPlan): boolean {
  return plan.plan_updateable ?? service.plan_updateable ?? false;
}

/** Whether instances of a plan can be bound; the plan's own word goes before its service's. */
export function planBindable({ service, plan }: OfferedPlan): boolean {
  return plan.bindable ?? service.bindable;
}

function offered(service: CatalogService, plan: CatalogPlan): OfferedPlan {
  const schemas = planSchemas(plan);
  return {
    service,
    plan,
    maintenanceVersion: plan.maintenance_info?.version,
    create: instanceParametersCheck(plan, schemas.service_instance.create.parameters),
    update: instanceParametersCheck(plan, schemas.service_instance.update.parameters),
    bind: bindingParametersCheck(schemas.service_binding.create.parameters),
  };
}

function publicService(service: CatalogService, externalUrl: string | undefined): Record<string, unknown> {
  const backupApi = externalUrl === undefined ? {} : { backupApi: { url: externalUrl, version: BACKUP_API_VERSION } };
  const metadata = { ...service.metadata, ...backupApi };
  return {
    ...service,
    ...(Object.keys(metadata).length > 0 && { metadata }),
    plans: service.plans.map(publicPlan),
  };
}

function publicPlan(plan: CatalogPlan): Record<string, unknown> {
  const open = Object.entries(plan).filter(([key]) => !OWN_PROPERTIES.has(key));
  return {
    ...Object.fromEntries(open),
    free: plan.free ?? true,
    binding_rotatable: true,
    metadata: { ...planProperties(plan.limits), ...plan.metadata },
    schemas: planSchemas(plan),
  };
}

/** The limits under names that carry their units: durations in milliseconds, sizes in bytes. */
function planProperties(limits: CatalogPlan['limits']): Record<string, unknown> {
  const properties = {
    connections: limits.connections,
    storage_bytes: limits.storage_bytes,
    statement_timeout_ms: limits.statement_timeout,
    idle_in_transaction_timeout_ms: limits.idle_in_transaction_timeout,
    temp_file_limit_bytes: limits.temp_file_limit,
    extensions: limits.extensions,
  };
  return Object.fromEntries(Object.entries(properties).filter(([, value]) => value !== undefined));
}

function list(map: ReadonlyMap<string, unknown>): string {
  return [...map.keys()].join(', ');
}
