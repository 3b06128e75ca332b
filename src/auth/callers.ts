import { Injectable } from '@nestjs/common';
import { BrokerError } from '../errors.js';
import { Authenticator, type ClosedRealm } from './authenticator.js';
import { challengesOf } from './challenges.js';
import { ControllerClient } from './controller-client.js';
import { InstancePermissions } from './instance-permissions.js';
import { type Requester } from './requester.js';
import { ALL_RIGHTS, type Rights, UserRights } from './rights.js';
import { UserTokens } from './user-tokens.js';

export interface Caller {
  requester: Requester;
  rights: Rights;
}

/** Schemes are compared without regard to case (RFC 9110, section 11.1): cf writes `bearer`. */
const BEARER = /^Bearer +([A-Za-z0-9._~+/-]+=*) *$/i;

/** Says who calls: by Basic credentials, or in realm admin, where a Cloud Controller is configured, by a user's token. */
@Injectable()
export class Callers {
  constructor(
    private readonly authenticator: Authenticator,
    private readonly controller: ControllerClient,
    private readonly tokens: UserTokens,
    private readonly permissions: InstancePermissions,
  ) {}

  /**
   * @param authorizations the values of all `Authorization` headers
   * @throws BrokerError `unauthenticated` with the challenges; `too_many_requests`; `controller_unreachable`
   */
  async identify(realm: ClosedRealm, authorizations: string[], address: string): Promise<Caller> {
    const tokens = realm === 'admin' && this.controller.url !== undefined;
    const [authorization, ...further] = authorizations;
    const isToken = tokens && /^Bearer(\s|$)/i.test(authorization ?? '');
    try {
      if (further.length > 0) throw new BrokerError('unauthenticated', 'expected one Authorization header');
      if (isToken) return await this.#user(authorization ?? '');
      return {
        requester: { realm, username: this.authenticator.authenticate(realm, authorization, address) },
        rights: ALL_RIGHTS,
      };
    } catch (error) {
      if (!(error instanceof BrokerError) || error.code !== 'unauthenticated') throw error;
      throw new BrokerError('unauthenticated', error.message, {
        challenges: challengesOf(realm, isToken ? 'refused' : tokens ? 'taken' : 'none'),
      });
    }
  }

  async #user(authorization: string): Promise<Caller> {
    const token = BEARER.exec(authorization)?.[1];
    if (token === undefined) throw new BrokerError('unauthenticated', 'expected one bearer token');
    const { id, name } = await this.tokens.verify(token);
    return {
      requester: { realm: 'user', username: name, user_id: id },
      rights: new UserRights(token, this.permissions),
    };
  }
}
