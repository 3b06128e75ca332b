import { type ClosedRealm } from './authenticator.js';

/**
 * How a caller may say who it is, one for each `WWW-Authenticate` (RFC 7617, section 2; RFC 6750, section 3).
 * @param token whether users' tokens are taken there, and whether one was that cannot be
 */
export function challengesOf(realm: ClosedRealm, token: 'none' | 'taken' | 'refused'): string[] {
  const basic = `Basic realm="${realm}", charset="UTF-8"`;
  if (token === 'none') return [basic];
  return [basic, `Bearer realm="${realm}"${token === 'refused' ? ', error="invalid_token"' : ''}`];
}
