import { z } from 'zod';
import { catalogSchema } from './catalog.js';
import { cloudController } from './cloud-controller.js';
import {
  addressRange,
  certificates,
  httpUrl,
  name,
  path,
  port,
  postgresUrl,
  secret,
  text,
  uniqueBy,
} from './fields.js';
import { certificateFault, keyPairFault, privateKeyFault } from './pem.js';
import { Secret } from './secret.js';
import { storagesSchema } from './storages.js';
import { durationSchema, sizeSchema } from './units.js';

function credentials(realm: 'platform' | 'admin', callers: string) {
  const variables = ['USERNAME', 'PASSWORD'].map((what) => `\`BROKER_${realm.toUpperCase()}_${what}\``).join(', ');
  const credential = z.strictObject({
    username: z
      .string({ error: 'expected a user name' })
      .regex(/^[^:\p{Cc}]{1,255}$/u, 'expected a user name without colon or control characters')
      .default(realm)
      .describe('User name, unique within the realm.'),
    password: secret.describe('Password.'),
  });
  return z
    .strictObject({
      credentials: z
        .array(credential, { error: 'expected at least one credential' })
        .min(1, 'expected at least one credential')
        .superRefine(uniqueBy((each) => each.username, 'user name'))
        .describe('All of them are valid at once, so that they can be exchanged without a gap.'),
    })
    .describe(`Basic credentials of ${callers}. Environment, for the first: ${variables}.`);
}

const tls = z
  .strictObject({
    certificate: text
      .superRefine((value, context) => {
        const fault = certificateFault(value);
        if (fault !== undefined) context.addIssue({ code: 'custom', message: fault });
      })
      .meta({ accepts: 'PEM text, or the path of a file with it' })
      .describe('Certificate, followed by those that sign it.'),
    private_key: text
      .superRefine((value, context) => {
        const fault = privateKeyFault(value);
        if (fault !== undefined) context.addIssue({ code: 'custom', message: fault });
      })
      .transform((value) => new Secret(value))
      .meta({ accepts: 'PEM text, or the path of a file with it' })
      .describe('Private key of the certificate.'),
  })
  .superRefine((pair, context) => {
    if (!((pair.private_key as unknown) instanceof Secret)) return;
    const fault = keyPairFault(pair.certificate, pair.private_key.reveal());
    if (fault !== undefined) context.addIssue({ code: 'custom', path: ['private_key'], message: fault });
  });

const http = z
  .strictObject({
    host: text.default('127.0.0.1').describe('Address to listen on. Environment: `BROKER_HOST`.'),
    port: z
      .int({ error: 'expected a port number' })
      .min(0, 'expected a port from 0 to 65535')
      .max(65_535, 'expected a port from 0 to 65535')
      .default(8080)
      .describe('Port to listen on, 0 for any free one. Environment: `BROKER_PORT`, else `PORT`.'),
    external_url: httpUrl.optional().describe('Address by which the platform and people reach the broker.'),
    sync_wait: durationSchema
      .prefault('50s')
      .describe('How long a call waits for its work before it is answered 202. Platforms give up after 60 s.'),
    max_upload: sizeSchema.prefault('100GiB').describe('Largest archive that may be uploaded.'),
    trusted_proxies: z
      .array(addressRange)
      .default([])
      .describe('Proxies whose `X-Forwarded-For` says where a call comes from.'),
    tls: tls.optional().describe('Serves HTTPS with this; files are read anew on SIGHUP.'),
  })
  .prefault({})
  .describe('The HTTP server.');

const encryptionKey = z.strictObject({
  id: z
    .string({ error: 'expected an id' })
    .regex(/^[A-Za-z0-9_-]{1,32}$/, 'expected an id of letters, digits, _ and -')
    .meta({ accepts: 'letters, digits, _ and -; unique' })
    .describe('Kept beside what the key encrypted; never give an id to another key.'),
  secret: z
    .string({ error: 'expected the base64 form of 32 random bytes' })
    .refine((value) => /^[A-Za-z0-9+/]{43}=$/.test(value), 'expected the base64 form of 32 random bytes')
    .refine((value) => !/^A+=$/.test(value), 'expected a key of your own instead of the placeholder')
    .transform((value) => new Secret(value))
    .meta({ accepts: 'the base64 form of 32 random bytes; never printed' })
    .describe('The key.'),
});

const state = z
  .strictObject({
    url: postgresUrl.describe("The broker's own database, which it migrates by itself."),
    ca: certificates.optional().describe('Certificates that sign its server.'),
    encryption_keys: z
      .array(encryptionKey, { error: 'expected at least one key' })
      .min(1, 'expected at least one key')
      .superRefine(uniqueBy((key) => key.id, 'id'))
      .describe(
        'Keys for the passwords of bindings: the first encrypts, all decrypt. A broker that starts seals anew with the first what the others have sealed.',
      ),
  })
  .describe('The state database. Without `state.url` and `servers` the private PostgreSQL of `npm start` is used.');

const server = z.strictObject({
  name: name.describe('Name of the server; its instances remember it.'),
  url: postgresUrl.describe("The broker's role there, with CREATEROLE and CREATEDB; no superuser."),
  public_host: text.optional().describe('Host in the credentials of bindings; default: that of `url`.'),
  public_port: port.optional().describe('Port in the credentials of bindings; default: that of `url`.'),
  sslmode: z
    .enum(['disable', 'prefer', 'require', 'verify-ca', 'verify-full'])
    .optional()
    .describe(
      'TLS of the connections of the broker and of the applications; default: `prefer`, with `ca` `verify-full`.',
    ),
  ca: certificates.optional().describe('Certificates that sign the server; handed out in credentials.'),
  weight: z
    .number({ error: 'expected a number above 0' })
    .positive('expected a number above 0')
    .meta({ accepts: 'a number above 0' })
    .default(1)
    .describe('A new instance goes to the server that has the least instances for its weight.'),
  accepts_new: z.boolean({ error: 'expected true or false' }).default(true).describe('Whether new instances go there.'),
  max_connections: z
    .int({ error: 'expected a whole number from 2 to 1000' })
    .min(2, 'expected a whole number from 2 to 1000')
    .max(1000, 'expected a whole number from 2 to 1000')
    .default(20)
    .describe('Most connections that the broker opens there, over all databases.'),
  superuser_url: postgresUrl
    .optional()
    .describe(
      'A superuser, for what needs one: extensions that are not trusted, and the right to set temp_file_limit. Their scripts run in an empty schema of the superuser, and what they made is moved to public; those that cannot be moved (not relocatable, as postgis) run in the public schema, which the tenant owns and may have filled: allow only those of which you know that they are safe there.',
    ),
});

const operations = z
  .strictObject({
    roles: z
      .array(z.enum(['api', 'worker']))
      .min(1, 'expected at least one of api and worker')
      .default(['api', 'worker'])
      .describe('What this broker does: answer calls and begin work, or carry it out.'),
    parallel: z
      .int({ error: 'expected a whole number from 1 to 64' })
      .min(1, 'expected a whole number from 1 to 64')
      .max(64, 'expected a whole number from 1 to 64')
      .default(2)
      .describe('How many long operations run at once.'),
    restore_jobs: z
      .int({ error: 'expected a whole number from 1 to 64' })
      .min(1, 'expected a whole number from 1 to 64')
      .max(64, 'expected a whole number from 1 to 64')
      .default(2)
      .describe('How many tables a restore fills at once.'),
    deadline: durationSchema.prefault('12h').describe('An operation that takes longer fails.'),
    grace: durationSchema
      .prefault('30s')
      .describe('How long running work may go on at shut-down before it is handed over.'),
    upload_retry: durationSchema
      .prefault('24h')
      .describe(
        'How long the upload of a backup that fails is repeated, from the same dump; `operations.deadline` does not count then.',
      ),
  })
  .prefault({})
  .describe('Durable work.');

const spool = z
  .strictObject({
    path: path.optional().describe('The folder; default: `spool` in `data_dir`.'),
    max_bytes: sizeSchema.optional().describe('Most that it may hold; default: no limit.'),
  })
  .prefault({})
  .describe('Where archives wait on their way to and from a storage.');

const backups = z
  .strictObject({
    keep_after_deprovision: durationSchema
      .prefault('7d')
      .describe('How long the backups of a deleted instance are kept.'),
  })
  .prefault({})
  .describe('What happens to backups.');

const restorePoints = z
  .strictObject({
    keep: durationSchema
      .prefault('24h')
      .describe('How long a replaced database is kept, so that the restore can be undone; less where room is needed.'),
  })
  .prefault({})
  .describe('The databases that restores have replaced.');

const audit = z
  .strictObject({
    keep: durationSchema.prefault('400d').describe('How long a record is kept.'),
  })
  .prefault({})
  .describe('The record of every change that was asked for: `GET /audit`.');

const log = z
  .strictObject({
    level: z
      .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
      .default('info')
      .describe('Least level that is logged.'),
    format: z
      .enum(['auto', 'json', 'pretty'])
      .default('auto')
      .describe('`json` gives one object a line, `pretty` lines for people, `auto` these on a terminal only.'),
  })
  .prefault({})
  .describe('The log, on standard output.');

const tools = z
  .strictObject({
    postgres_bin_dir: path
      .optional()
      .describe(
        'Folder of pg_dump and pg_restore, no older than the servers; default: found on this machine. Environment: `BROKER_PG_BINDIR`, else `PG_BINDIR`.',
      ),
  })
  .prefault({})
  .describe('Programs that the broker calls.');

/** Every key of the configuration, with its default. Unknown keys are faults. */
export const configSchema = z.strictObject({
  data_dir: path
    .prefault('.data')
    .describe(
      'Folder for what the broker keeps on this machine, its node id for instance. Environment: `BROKER_DATA_DIR`.',
    ),
  http,
  platform: credentials('platform', 'the platform, for `/v2`'),
  admin: credentials('admin', 'the admins'),
  state,
  servers: z
    .array(server, { error: 'expected at least one server' })
    .min(1, 'expected at least one server')
    .superRefine(uniqueBy((entry) => entry.name, 'name'))
    .describe('The PostgreSQL servers that hold the instances.'),
  operations,
  catalog: catalogSchema.prefault({}).describe('What the broker offers; a catalog is built in.'),
  tools,
  storages: storagesSchema,
  spool,
  backups,
  restore_points: restorePoints,
  audit,
  cloud_controller: cloudController,
  log,
});

export type BrokerConfig = z.output<typeof configSchema>;
export type ServerConfig = BrokerConfig['servers'][number];
