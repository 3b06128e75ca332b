import { isAbsolute, resolve } from 'node:path';
import { z } from 'zod';
import { catalogSchema } from './catalog.js';
import { Secret } from './secret.js';
import { durationSchema } from './units.js';

const secret = z
  .string({ error: 'expected a text' })
  .min(1, 'expected a text that is not empty')
  .transform((value) => new Secret(value));
const path = z
  .string()
  .min(1)
  .transform((value) => (isAbsolute(value) ? value : resolve(value)));
const port = z.int().min(1).max(65_535);
const postgresUrl = z
  .string({ error: 'expected a URL such as postgres://user:password@host:5432/database' })
  .refine((value) => /^postgres(ql)?:\/\/[^\s]+$/.test(value) && URL.canParse(value), {
    error: 'expected a URL such as postgres://user:password@host:5432/database',
  })
  .transform((value) => new Secret(value));

function credentials(realm: string) {
  const credential = z.strictObject({
    username: z
      .string()
      .regex(/^[^:\p{Cc}]{1,255}$/u, 'expected a user name without colon or control characters')
      .default(realm),
    password: secret,
  });
  return z.strictObject({
    credentials: z
      .array(credential, { error: 'expected at least one credential' })
      .min(1, 'expected at least one credential'),
  });
}

const encryptionKey = z.strictObject({
  id: z.string().regex(/^[A-Za-z0-9_-]{1,32}$/, 'expected an id of letters, digits, _ and -'),
  secret: z
    .string()
    .refine((value) => /^[A-Za-z0-9+/]{43}=$/.test(value), 'expected the base64 form of 32 random bytes')
    .transform((value) => new Secret(value)),
});

const server = z.strictObject({
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'expected a name of letters, digits, dots and hyphens'),
  url: postgresUrl,
  /** Host and port in the credentials of bindings; absent: those of `url`. */
  public_host: z.string().min(1).optional(),
  public_port: port.optional(),
  sslmode: z.enum(['disable', 'prefer', 'require', 'verify-ca', 'verify-full']).optional(),
  ca: z.string().min(1).optional(),
  weight: z.number().positive().default(1),
  accepts_new: z.boolean().default(true),
  max_connections: z.int().min(2).max(1000).default(20),
  superuser_url: postgresUrl.optional(),
});

function uniqueBy<T>(key: (item: T) => string, what: string) {
  return (items: T[], context: z.RefinementCtx) => {
    const seen = new Set<string>();
    items.forEach((item, index) => {
      if (seen.has(key(item)))
        context.addIssue({
          code: 'custom',
          path: [index],
          message: `expected a unique ${what}: ${key(item)} is taken`,
        });
      seen.add(key(item));
    });
  };
}

/** Every key of the configuration, with its default. Unknown keys are faults. */
export const configSchema = z.strictObject({
  data_dir: path.prefault('.data'),
  http: z
    .strictObject({
      host: z.string().min(1).default('127.0.0.1'),
      port: z.int().min(0).max(65_535).default(8080),
      external_url: z.url({ protocol: /^https?$/ }).optional(),
      sync_wait: durationSchema.prefault('50s'),
      trusted_proxies: z.array(z.string().min(1)).default([]),
      tls: z.strictObject({ certificate: z.string().min(1), private_key: secret }).optional(),
    })
    .prefault({}),
  platform: credentials('platform'),
  admin: credentials('admin'),
  state: z.strictObject({
    url: postgresUrl,
    ca: z.string().min(1).optional(),
    encryption_keys: z
      .array(encryptionKey, { error: 'expected at least one key' })
      .min(1, 'expected at least one key')
      .superRefine(uniqueBy((key) => key.id, 'id')),
  }),
  servers: z
    .array(server)
    .min(1, 'expected at least one server')
    .superRefine(uniqueBy((entry) => entry.name, 'name')),
  operations: z
    .strictObject({
      roles: z
        .array(z.enum(['api', 'worker']))
        .min(1)
        .default(['api', 'worker']),
      parallel: z.int().min(1).max(64).default(2),
      deadline: durationSchema.prefault('12h'),
      grace: durationSchema.prefault('30s'),
    })
    .prefault({}),
  catalog: catalogSchema.prefault({}),
  log: z
    .strictObject({
      level: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
      format: z.enum(['auto', 'json', 'pretty']).default('auto'),
    })
    .prefault({}),
});

export type BrokerConfig = z.output<typeof configSchema>;
export type ServerConfig = BrokerConfig['servers'][number];
