import { z } from 'zod';
import { certificates, httpUrl, secret, text } from './fields.js';

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
};

interface WithComingKeys {
  cloud_controller?: unknown;
}

/** Those keys that are set although this version does not use them yet. */
export function unusedKeys(config: WithComingKeys): string[] {
  return config.cloud_controller === undefined ? [] : ['cloud_controller'];
}
