import { z } from 'zod';
import { DEFAULT_SERVICES, TRUSTED_EXTENSIONS } from './default-catalog.js';
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
const metadata = z.record(z.string(), z.unknown(), { error: 'expected an object' }).meta({ accepts: 'an object' });

const SEMVER =
  /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$/;
const maintenanceInfo = z.strictObject({
  version: z
    .string({ error: 'expected a semantic version such as 1.0.0' })
    .regex(SEMVER, 'expected a semantic version such as 1.0.0')
    .meta({ accepts: 'a semantic version' })
    .describe('Version of the plan.'),
  description: text('a description', 10_000).optional().describe('What the version brings.'),
});

const planSchema = z.record(z.string(), z.unknown()).superRefine((schema, context) => {
  const fault = planSchemaFault(schema);
  if (fault !== undefined) context.addIssue({ code: 'custom', message: fault });
});
const parameters = z.strictObject({ parameters: planSchema.describe('The schema, with `$schema`.') });
const schemas = z.strictObject({
  service_instance: z
    .strictObject({
      create: parameters.optional().describe('Parameters of a new instance.'),
      update: parameters.optional().describe('Parameters of an update.'),
    })
    .optional()
    .describe('Schemas of instances.'),
  service_binding: z
    .strictObject({ create: parameters.optional().describe('Parameters of a binding.') })
    .optional()
    .describe('Schema of bindings.'),
});

const extensionName = z
  .string({ error: 'expected the name of an extension' })
  .regex(/^[A-Za-z0-9_-]{1,63}$/, 'expected the name of an extension')
  .meta({ accepts: 'the name of an extension' });
const limits = z.strictObject({
  connections: z
    .int({ error: 'expected a whole number from 1 to 10000' })
    .min(1, 'expected a whole number from 1 to 10000')
    .max(10_000, 'expected a whole number from 1 to 10000')
    .optional()
    .describe('Connections of one binding at once, and with 3 more of all together.'),
  storage_bytes: sizeSchema
    .optional()
    .describe(
      'Size of the database: told to users, and held to by restores and changes of plan; a database that grows beyond it is not stopped.',
    ),
  statement_timeout: durationSchema.optional().describe('Longest statement; applications may change their own.'),
  idle_in_transaction_timeout: durationSchema
    .optional()
    .describe('Longest pause within a transaction; applications may change their own.'),
  temp_file_limit: sizeSchema
    .optional()
    .describe('Temporary files of a session, where the broker may set it (`superuser_url`).'),
  extensions: z
    .array(extensionName)
    .optional()
    .transform((names) => names ?? TRUSTED_EXTENSIONS)
    .describe('Extensions that may be asked for; default: those that PostgreSQL marks as trusted.'),
});

const flag = z.boolean({ error: 'expected true or false' });

const plan = z.strictObject({
  id: guid.describe('Unique id, never changed.'),
  name: name.describe('Name, unique within the service.'),
  description: description.describe('For the marketplace.'),
  free: flag.optional().describe('Whether it costs nothing; for the platform `true` where absent.'),
  bindable: flag.optional().describe("Whether it can be bound, other than the service's `bindable` says."),
  plan_updateable: flag.optional().describe('Whether instances may change to another plan.'),
  maximum_polling_duration: z
    .int({ error: 'expected a number of seconds' })
    .positive('expected a number of seconds')
    .optional()
    .describe('Seconds after which the platform gives up asking for the end of an operation.'),
  maintenance_info: maintenanceInfo.optional().describe('Version of the plan, for upgrades of its instances.'),
  metadata: metadata.optional().describe('For the marketplace: `displayName`, `bullets`, `costs` and whatever more.'),
  schemas: schemas
    .optional()
    .describe('What parameters are accepted, in JSON Schema draft-04; there are built-in ones.'),
  /** What the plan allows; beside the Open Service Broker fields and never sent to the platform. */
  limits: limits.prefault({}).describe("What the plan allows; an absent one is the server's default."),
  backup: z
    .strictObject({
      compression: z
        .enum(['gzip', 'zstd', 'lz4', 'none'])
        .optional()
        .describe(
          'Compression of dumps, at its lowest level; default: zstd where pg_dump and the server know it, else gzip.',
        ),
    })
    .default({})
    .describe('How backups of its instances are made.'),
  binding_max_age: durationSchema
    .optional()
    .describe(
      'Bindings expire after it: the server refuses new logins, and platforms renew them before. Absent: they do not.',
    ),
});

const service = z.strictObject({
  id: guid.describe('Unique id, never changed.'),
  name: name.describe('Unique name.'),
  description: description.describe('For the marketplace.'),
  tags: z
    .array(z.string().min(1))
    .refine((tags) => tags.join('').length <= 2048, 'expected at most 2048 characters of tags in all')
    .optional()
    .describe('By which applications find it; `postgresql` and `postgres` are looked for by many.'),
  bindable: flag.describe('Whether it can be bound.'),
  plan_updateable: flag.optional().describe('Whether instances may change their plan.'),
  instances_retrievable: z.literal(true).default(true).describe('Instances can be read.'),
  bindings_retrievable: z.literal(true).default(true).describe('Bindings can be read.'),
  allow_context_updates: z.literal(true).default(true).describe('New names of spaces and instances are taken in.'),
  metadata: metadata.optional().describe('For the marketplace: `displayName`, `longDescription` and whatever more.'),
  dashboard_client: z
    .strictObject({
      id: text('a client id').describe('Unique id of the client.'),
      secret: text('a client secret').describe('Its secret.'),
      redirect_uri: z
        .url({ error: 'expected a URL' })
        .meta({ accepts: 'a URL' })
        .describe('Where sign-on comes back to.'),
    })
    .optional()
    .describe('The OAuth client that the platform makes for the dashboard.'),
  plans: z.array(plan).min(1, 'expected at least one plan').describe('Its plans.'),
});

/**
 * The catalog, checked against every rule by which the Cloud Controller refuses one (a single fault makes it refuse
 * the whole catalog): unique service ids, names and client ids,
 * unique plan ids, plan names unique in their service, nothing blank.
 */
export const catalogSchema = z
  .strictObject({
    services: z
      .array(service)
      .optional()
      .transform((services) => services ?? z.array(service).parse(DEFAULT_SERVICES))
      .describe('The services; default: `postgresql` with the plans `small`, `medium` and `large`.'),
  })
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
    const clients = new Set<string>();
    services.forEach((entry, s) => {
      unique(ids, entry.id, ['services', s, 'id'], 'id');
      unique(names, entry.name, ['services', s, 'name'], 'service name');
      if (entry.dashboard_client)
        unique(clients, entry.dashboard_client.id, ['services', s, 'dashboard_client', 'id'], 'client id');
      const planNames = new Set<string>();
      entry.plans.forEach((each, p) => {
        unique(ids, each.id, ['services', s, 'plans', p, 'id'], 'id');
        unique(planNames, each.name, ['services', s, 'plans', p, 'name'], 'plan name within the service');
      });
    });
  });

type Catalog = z.output<typeof catalogSchema>;
export type CatalogService = Catalog['services'][number];
export type CatalogPlan = CatalogService['plans'][number];
