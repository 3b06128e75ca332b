import { z } from 'zod';
import { certificates, httpUrl, name, path, secret, text, uniqueBy } from './fields.js';
import { durationSchema, sizeSchema } from './units.js';

const local = z.strictObject({
  name: name.describe('Name of the storage.'),
  type: z.literal('local').describe('A folder of this machine, or one that it has mounted.'),
  path: path.optional().describe('The folder; default: `backups` in `data_dir`.'),
});

const s3 = z.strictObject({
  name: name.describe('Name of the storage.'),
  type: z.literal('s3').describe('A bucket of an S3 service.'),
  bucket: text.describe('Name of the bucket, which must exist.'),
  prefix: z.string().optional().describe('Goes before every key.'),
  region: text.optional().describe('Region of the bucket.'),
  endpoint: httpUrl.optional().describe('Address of a service other than AWS.'),
  force_path_style: z.boolean().optional().describe('Whether the bucket goes into the path instead of the host name.'),
  access_key_id: text.optional().describe('Access key.'),
  secret_access_key: secret.optional().describe('Secret of the access key.'),
  ca: certificates.optional().describe('Certificates that sign the service.'),
  storage_class: text.optional().describe('Storage class of the archives.'),
  server_side_encryption: text.optional().describe('Encryption at the service, `AES256` for instance.'),
});

/** Sections of parts that this version does not have yet: checked, so that one file serves, and otherwise unused. */
export const comingSections = {
  cloud_controller: z
    .strictObject({
      url: httpUrl.optional().describe('Address of the Cloud Controller.'),
      ca: certificates.optional().describe('Certificates that sign it.'),
      skip_tls_verify: z.boolean().optional().describe('Whether its certificate is not checked.'),
      dashboard_client: z
        .strictObject({
          id: text.optional().describe('Id of the OAuth client.'),
          secret: secret.optional().describe('Secret of the OAuth client.'),
        })
        .optional()
        .describe('The client by which users sign on at the dashboard.'),
    })
    .optional()
    .describe('Lets Cloud Foundry users call with their own tokens. Not in use yet.'),
  storages: z
    .array(z.discriminatedUnion('type', [local, s3]))
    .superRefine(uniqueBy((storage) => storage.name, 'name'))
    .optional()
    .describe('Where backups are kept. Not in use yet.'),
  spool: z
    .strictObject({
      path: path.optional().describe('The folder; default: `spool` in `data_dir`.'),
      max_bytes: sizeSchema.optional().describe('Most that it may hold; default: no limit.'),
    })
    .optional()
    .describe('Where archives wait on their way to and from a storage. Not in use yet.'),
  backups: z
    .strictObject({
      keep_after_deprovision: durationSchema
        .optional()
        .describe('How long the backups of a deleted instance are kept; default: `7d`.'),
    })
    .optional()
    .describe('What happens to backups. Not in use yet.'),
  restore_points: z
    .strictObject({
      keep: durationSchema.optional().describe('How long a replaced database is kept; default: `24h`.'),
    })
    .optional()
    .describe('The databases that restores have replaced. Not in use yet.'),
};

interface WithComingKeys {
  cloud_controller?: unknown;
  storages?: unknown;
  spool?: unknown;
  backups?: unknown;
  restore_points?: unknown;
  http: { max_upload?: unknown };
  operations: { restore_jobs?: unknown; upload_retry?: unknown };
}

/** Those keys that are set although this version does not use them yet. */
export function unusedKeys(config: WithComingKeys): string[] {
  const { http, operations } = config;
  const values: Record<string, unknown> = {
    cloud_controller: config.cloud_controller,
    storages: config.storages,
    spool: config.spool,
    backups: config.backups,
    restore_points: config.restore_points,
    'http.max_upload': http.max_upload,
    'operations.restore_jobs': operations.restore_jobs,
    'operations.upload_retry': operations.upload_retry,
  };
  return Object.keys(values).filter((key) => values[key] !== undefined);
}
