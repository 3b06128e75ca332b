import { z } from 'zod';
import { certificates, httpUrl, path, secret, text } from './fields.js';
import { durationSchema, sizeSchema } from './units.js';

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
  storages: readonly unknown[];
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
    storages: config.storages.length === 0 ? undefined : config.storages,
    spool: config.spool,
    backups: config.backups,
    restore_points: config.restore_points,
    'http.max_upload': http.max_upload,
    'operations.restore_jobs': operations.restore_jobs,
    'operations.upload_retry': operations.upload_retry,
  };
  return Object.keys(values).filter((key) => values[key] !== undefined);
}
