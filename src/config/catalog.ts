import { z } from 'zod';
import { DEFAULT_SERVICES } from './default-catalog.js';
import { planSchemaFault } from './plan-schema.js';
import { durationSchema, sizeSchema } from './units.js';

const text = (what: string, max = 255) =>
  z
    .string({ error: `expected ${what}` })
    .max(max, `expected at most ${max} characters`)
    .refine((value) => value.trim() !== '', `expected ${what}, not blank`);

const guid = text('a unique id, a GUID for instance');
const name = z
  .string({ error: 'expected a name of letters, digits, dots and hyphens' })
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$/, 'expected a name of letters, digits, dots and hyphens');
const description = text('a description', 10_000);
const metadata = z.record(z.string(), z.unknown());

const SEMVER =
  /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$/;
const maintenanceInfo = z.strictObject({
  version: z.string().regex(SEMVER, 'expected a semantic version such as 1.0.0'),
  description: z.string().max(10_000).optional(),
});

const planSchema = z.record(z.string(), z.unknown()).superRefine((schema, context) => {
  const fault = planSchemaFault(schema);
  if (fault !== undefined) context.addIssue({ code: 'custom', message: fault });
});
const parameters = z.strictObject({ parameters: planSchema });
const schemas = z.strictObject({
  service_instance: z.strictObject({ create: parameters.optional(), update: parameters.optional() }).optional(),
  service_binding: z.strictObject({ create: parameters.optional() }).optional(),
});

const extensionName = z.string().regex(/^[A-Za-z0-9_-]{1,63}$/, 'expected the name of an extension');
const limits = z.strictObject({
  connections: z.int().min(1).max(10_000).optional(),
  storage_bytes: sizeSchema.optional(),
  statement_timeout: durationSchema.optional(),
  idle_in_transaction_timeout: durationSchema.optional(),
  temp_file_limit: sizeSchema.optional(),
  extensions: z.array(extensionName).optional(),
});

const plan = z.strictObject({
  id: guid,
  name,
  description,
  free: z.boolean().optional(),
  bindable: z.boolean().optional(),
  plan_updateable: z.boolean().optional(),
  maximum_polling_duration: z.int().positive().optional(),
  maintenance_info: maintenanceInfo.optional(),
  metadata: metadata.optional(),
  schemas: schemas.optional(),
  /** What the plan allows; beside the Open Service Broker fields and never sent to the platform. */
  limits: limits.default({}),
  backup: z.strictObject({ compression: z.enum(['gzip', 'zstd', 'lz4', 'none']).optional() }).default({}),
  /** Bindings of this plan expire after it; absent: they do not. */
  binding_max_age: durationSchema.optional(),
});

const service = z.strictObject({
  id: guid,
  name,
  description,
  tags: z
    .array(z.string().min(1))
    .refine((tags) => tags.join('').length <= 2048, 'expected at most 2048 characters of tags in all')
    .optional(),
  bindable: z.boolean({ error: 'expected true or false' }),
  plan_updateable: z.boolean().optional(),
  instances_retrievable: z.literal(true).default(true),
  bindings_retrievable: z.literal(true).default(true),
  allow_context_updates: z.literal(true).default(true),
  metadata: metadata.optional(),
  dashboard_client: z
    .strictObject({ id: text('a client id'), secret: text('a client secret'), redirect_uri: z.url() })
    .optional(),
  plans: z.array(plan).min(1, 'expected at least one plan'),
});

/**
 * The catalog, checked against every rule by which the Cloud Controller refuses one (a single fault makes it refuse
 * the whole catalog): unique service ids and names, unique plan ids, plan names unique in their service, nothing blank.
 */
export const catalogSchema = z
  .strictObject({ services: z.array(service).default(() => z.array(service).parse(DEFAULT_SERVICES)) })
  .superRefine(({ services }, context) => {
    const unique = (seen: Set<string>, value: string, path: (string | number)[], what: string) => {
      if (seen.has(value))
        context.addIssue({ code: 'custom', path, message: `expected a unique ${what}: ${value} is taken` });
      seen.add(value);
    };
    if (services.length === 0)
      context.addIssue({ code: 'custom', path: ['services'], message: 'expected at least one service' });
    const ids = new Set<string>();
    const names = new Set<string>();
    services.forEach((entry, s) => {
      unique(ids, entry.id, ['services', s, 'id'], 'id');
      unique(names, entry.name, ['services', s, 'name'], 'service name');
      const planNames = new Set<string>();
      entry.plans.forEach((each, p) => {
        unique(ids, each.id, ['services', s, 'plans', p, 'id'], 'id');
        unique(planNames, each.name, ['services', s, 'plans', p, 'name'], 'plan name within the service');
      });
    });
  });

export type Catalog = z.output<typeof catalogSchema>;
export type CatalogService = Catalog['services'][number];
export type CatalogPlan = CatalogService['plans'][number];
