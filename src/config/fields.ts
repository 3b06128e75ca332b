import { BlockList, isIP } from 'node:net';
import { isAbsolute, resolve } from 'node:path';
import { z } from 'zod';
import { certificateFault, readPem } from './pem.js';
import { Secret } from './secret.js';

/** What the examples have in the place of passwords. */
function isPlaceholder(value: string): boolean {
  return value.startsWith('replace-me');
}

const PLACEHOLDER = 'expected a password of your own instead of the placeholder';

export const secret = z
  .string({ error: 'expected a text' })
  .min(1, 'expected a text that is not empty')
  .refine((value) => !isPlaceholder(value), PLACEHOLDER)
  .transform((value) => new Secret(value))
  .meta({ accepts: 'a text; never printed' });

export const path = z
  .string({ error: 'expected a path' })
  .min(1, 'expected a path')
  .transform((value) => (isAbsolute(value) ? value : resolve(value)))
  .meta({ accepts: 'a path, relative ones from the working folder' });

export const port = z
  .int({ error: 'expected a port number' })
  .min(1, 'expected a port from 1 to 65535')
  .max(65_535, 'expected a port from 1 to 65535');

export const text = z.string({ error: 'expected a text' }).min(1, 'expected a text that is not empty');

export const name = z
  .string({ error: 'expected a name of letters, digits, dots and hyphens' })
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'expected a name of letters, digits, dots and hyphens')
  .meta({ accepts: 'letters, digits, dots and hyphens; unique' });

const POSTGRES_URL = 'expected a URL such as postgres://user:password@host:5432/database';
export const postgresUrl = z
  .string({ error: POSTGRES_URL })
  .refine((value) => /^postgres(ql)?:\/\/[^\s]+$/.test(value) && URL.canParse(value), { error: POSTGRES_URL })
  .refine((value) => !URL.canParse(value) || !isPlaceholder(new URL(value).password), PLACEHOLDER)
  .transform((value) => new Secret(value))
  .meta({ accepts: '`postgres://user:password@host:5432/database`; never printed' });

export const httpUrl = z
  .url({ protocol: /^https?$/, error: 'expected a URL such as https://broker.example.org' })
  .meta({ accepts: 'an http or https URL' });

/** Certificates, given as PEM text or as a file's path; the file is read at once. */
export const certificates = text
  .transform((value, context) => {
    const fault = certificateFault(value);
    if (fault === undefined) return readPem(value);
    context.addIssue({ code: 'custom', message: fault });
    return z.NEVER;
  })
  .meta({ accepts: 'PEM text, or the path of a file with it' });

/** An address or a range of addresses of proxies. */
export const addressRange = z
  .string()
  .refine(isAddressRange, { error: 'expected an IP address or a range such as 10.0.0.0/8' })
  .meta({ accepts: 'an IP address, or a range such as `10.0.0.0/8`' });

function isAddressRange(value: string): boolean {
  const [address = '', bits, ...rest] = value.split('/');
  const family = isIP(address);
  if (family === 0 || rest.length > 0) return false;
  if (bits === undefined) return true;
  try {
    new BlockList().addSubnet(address, /^\d{1,3}$/.test(bits) ? Number(bits) : -1, family === 6 ? 'ipv6' : 'ipv4');
    return true;
  } catch {
    return false;
  }
}

/** Reports each item whose key an earlier one has, at the item's place. */
export function uniqueBy<T>(key: (item: T) => string, what: string) {
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
