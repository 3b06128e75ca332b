import { z } from 'zod';
import { certificates, name, path, secret, text } from './fields.js';

const SEGMENT = '[A-Za-z0-9_-][A-Za-z0-9._-]*';

const local = z.strictObject({
  name: name.describe('Name of the storage.'),
  type: z.literal('local').describe('A folder of this machine, or one that it has mounted.'),
  path: path
    .optional()
    .describe('The folder; for the storage named `local` it may be left out: `backups` in `data_dir`.'),
  shared: z
    .boolean({ error: 'expected true or false' })
    .optional()
    .describe('Whether every broker of the state database reaches this folder: then each can work with its backups.'),
});

const s3 = z
  .strictObject({
    name: name.describe('Name of the storage.'),
    type: z.literal('s3').describe('A bucket of an S3 service.'),
    bucket: z
      .string({ error: 'expected the name of a bucket' })
      .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{1,62}$/, 'expected the name of a bucket')
      .describe('Name of the bucket, which must exist.'),
    prefix: z
      .string({ error: 'expected a text' })
      .max(300, 'expected at most 300 characters')
      .regex(
        new RegExp(`^(${SEGMENT}(/${SEGMENT})*/?)?$`),
        'expected letters, digits, dots, _ and -, in segments with / between',
      )
      .transform((value) => (value === '' || value.endsWith('/') ? value : `${value}/`))
      .default('')
      .describe('Goes before every key, a `/` between them.'),
    region: z
      .string({ error: 'expected a region' })
      .regex(/^[a-z0-9-]{1,64}$/, 'expected a region such as eu-central-1')
      .optional()
      .describe('Region; default: what the environment of the AWS SDK says, `us-east-1` where `endpoint` is set.'),
    endpoint: z
      .url({ protocol: /^https?$/, error: 'expected a URL such as https://s3.example.com' })
      .refine((value) => !URL.canParse(value) || `${new URL(value).username}${new URL(value).password}` === '', {
        error: 'expected a URL without user name and password',
      })
      .meta({ accepts: 'a URL, http or https' })
      .optional()
      .describe('Address of a service other than AWS.'),
    force_path_style: z
      .boolean({ error: 'expected true or false' })
      .default(false)
      .describe('Whether the bucket goes into the path instead of the host name.'),
    access_key_id: text
      .optional()
      .describe('Access key; default: what the credential chain of the AWS SDK finds (environment, profile, machine).'),
    secret_access_key: secret.optional().describe('Secret of the access key.'),
    session_token: secret.optional().describe('Token of a temporary access key.'),
    ca: certificates.optional().describe('Certificates that sign the service, instead of the usual authorities.'),
    storage_class: z
      .string({ error: 'expected a storage class' })
      .regex(/^[A-Z0-9_]{1,64}$/, 'expected a storage class such as STANDARD_IA')
      .optional()
      .describe('Storage class of new objects; one that can be read at once.'),
    server_side_encryption: z
      .enum(['AES256', 'aws:kms', 'aws:kms:dsse'], { error: 'expected AES256, aws:kms or aws:kms:dsse' })
      .optional()
      .describe('Encryption at the service.'),
    kms_key_id: text.optional().describe("Key for `aws:kms`; default: the bucket's."),
  })
  .superRefine((value, context) => {
    const fault = (key: string, message: string) => context.addIssue({ code: 'custom', path: [key], message });
    if (value.access_key_id !== undefined && value.secret_access_key === undefined)
      fault('secret_access_key', 'expected, as access_key_id is set');
    if (value.secret_access_key !== undefined && value.access_key_id === undefined)
      fault('access_key_id', 'expected, as secret_access_key is set');
    if (value.session_token !== undefined && value.access_key_id === undefined)
      fault('access_key_id', 'expected, as session_token is set');
    if (value.kms_key_id !== undefined && !value.server_side_encryption?.startsWith('aws:kms'))
      fault('server_side_encryption', 'expected aws:kms, as kms_key_id is set');
  });

export const storagesSchema = z
  .array(z.discriminatedUnion('type', [local, s3]))
  .superRefine((storages, context) => {
    const seen = new Set<string>();
    storages.forEach((storage, index) => {
      const fault = (key: string, message: string) => context.addIssue({ code: 'custom', path: [index, key], message });
      if (seen.has(storage.name)) fault('name', `expected a unique name: ${storage.name} is taken`);
      if (storage.name === 'local' && storage.type !== 'local') fault('type', 'expected local for the storage local');
      if (storage.name !== 'local' && storage.type === 'local' && storage.path === undefined)
        fault('path', 'expected a folder');
      seen.add(storage.name);
    });
  })
  .default([])
  .describe('Where backups are kept. A storage named `local` is always there.');

export type StorageConfig = z.output<typeof storagesSchema>[number];
export type S3StorageConfig = z.output<typeof s3>;
