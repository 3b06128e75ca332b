import { createHash, timingSafeEqual } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { BROKER_CONFIG } from '../config/config.module.js';
import { type BrokerConfig } from '../config/schema.js';
import { BrokerError } from '../errors.js';
import { FailureThrottle } from './failure-throttle.js';

export type ClosedRealm = 'platform' | 'admin';

interface KnownCredential {
  username: string;
  usernameHash: Buffer;
  passwordHash: Buffer;
}

/** Checks Basic credentials (RFC 7617) against those of one realm; several may be valid at once. */
@Injectable()
export class Authenticator {
  readonly #known: Record<ClosedRealm, KnownCredential[]>;
  readonly #throttle = new FailureThrottle();

  constructor(@Inject(BROKER_CONFIG) config: BrokerConfig) {
    const hashed = (realm: ClosedRealm) =>
      config[realm].credentials.map(({ username, password }) => ({
        username,
        usernameHash: sha256(username),
        passwordHash: sha256(password.reveal()),
      }));
    this.#known = { platform: hashed('platform'), admin: hashed('admin') };
  }

  /**
   * The user name of a correct credential.
   * @throws BrokerError `unauthenticated`; `too_many_requests` for a wrong one after several within a minute.
   */
  authenticate(realm: ClosedRealm, authorization: string | undefined, address: string): string {
    const given = parseBasic(authorization);
    if (given === undefined) throw new BrokerError('unauthenticated', `expected Basic credentials of realm ${realm}`);
    const username = this.#match(realm, given);
    if (username !== undefined) return username;
    const retryAfter = this.#throttle.failed(given.username, address);
    if (retryAfter > 0)
      throw new BrokerError('too_many_requests', 'too many wrong credentials from this address', { retryAfter });
    throw new BrokerError('unauthenticated', `wrong user name or password for realm ${realm}`);
  }

  /** Compares with every credential, whatever the earlier ones gave, so that the time tells nothing. */
  #match(realm: ClosedRealm, given: { username: string; password: string }): string | undefined {
    const usernameHash = sha256(given.username);
    const passwordHash = sha256(given.password);
    let found: string | undefined;
    for (const known of this.#known[realm]) {
      const sameUser = timingSafeEqual(known.usernameHash, usernameHash);
      const samePassword = timingSafeEqual(known.passwordHash, passwordHash);
      found = Number(sameUser) & Number(samePassword) ? known.username : found;
    }
    return found;
  }
}

function parseBasic(authorization: string | undefined): { username: string; password: string } | undefined {
  const [, encoded] = /^Basic +([A-Za-z0-9+/_-]+=*) *$/i.exec(authorization ?? '') ?? [];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon < 0 ? undefined : { username: text.slice(0, colon), password: text.slice(colon + 1) };
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
