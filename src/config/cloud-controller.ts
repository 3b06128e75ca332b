import { isIP } from 'node:net';
import { z } from 'zod';
import { certificates, httpUrl, secret, text } from './fields.js';

const SAFE_URL = 'expected an https URL, as the tokens of users go there; http only for a loopback address';

/** Whether nobody between here and there can read what is sent. */
function isSafe(value: string): boolean {
  if (!URL.canParse(value)) return true;
  const { protocol, hostname } = new URL(value);
  const isLoopback =
    hostname === 'localhost' || hostname === '[::1]' || (isIP(hostname) === 4 && /^127\./.test(hostname));
  return protocol === 'https:' || isLoopback;
}

const dashboardClient = z
  .strictObject({
    id: text.optional().describe('Id of the OAuth client.'),
    secret: secret.optional().describe('Secret of the OAuth client.'),
  })
  .optional()
  .describe('The client by which users sign on at the dashboard. Not in use yet.');

export const cloudController = z
  .strictObject({
    url: httpUrl
      .refine(isSafe, SAFE_URL)
      .optional()
      .meta({ accepts: 'an https URL; http for a loopback address' })
      .describe("Address of the Cloud Controller. Turns on users' own tokens."),
    ca: certificates.optional().describe('Certificates that sign it and its UAA; default: those that Node trusts.'),
    skip_tls_verify: z
      .boolean({ error: 'expected true or false' })
      .default(false)
      .describe('Takes any certificate of both. Whoever is in between then decides who may do what.'),
    dashboard_client: dashboardClient,
  })
  .optional()
  .describe('Lets Cloud Foundry users call with their own tokens, with the rights that they have there.');

interface WithCloudController {
  cloud_controller?: { dashboard_client?: unknown } | undefined;
}

/** Keys that are set although this version does not use them yet. */
export function unusedKeys({ cloud_controller: configured }: WithCloudController): string[] {
  return configured?.dashboard_client === undefined ? [] : ['cloud_controller.dashboard_client'];
}
