import { randomBytes } from 'node:crypto';
import { type TenantNames } from './tenant.js';

const LOWER = 'abcdefghijklmnopqrstuvwxyz0123456789';
const ALPHANUMERIC = `ABCDEFGHIJKLMNOPQRSTUVWXYZ${LOWER}`;

/** Database and roles of one new instance. Every tenant sees all names of a server, so they tell nothing. */
export function drawTenantNames(server: string): TenantNames {
  const id = draw(LOWER, 19);
  return { server, database: `d${id}`, ownerRole: `o${id}`, connectRole: `c${id}`, readerRole: `r${id}` };
}

/** The user name of a binding: letters and digits only, since parsers of URLs split on everything else. */
export function drawBindingRole(): string {
  return `b${draw(LOWER, 19)}`;
}

/** A password of about 190 bits: letters and digits only, since parsers of URLs split on everything else. */
export function drawPassword(): string {
  return draw(ALPHANUMERIC, 32);
}

/** A name of that kind (a letter) for a role or a database of the broker's own making. */
export function drawServerName(kind: string): string {
  return `${kind}${draw(LOWER, 19)}`;
}

function draw(alphabet: string, length: number): string {
  const unbiased = 256 - (256 % alphabet.length);
  let drawn = '';
  while (drawn.length < length)
    for (const byte of randomBytes(length * 2))
      if (byte < unbiased && drawn.length < length) drawn += alphabet.charAt(byte % alphabet.length);
  return drawn;
}
