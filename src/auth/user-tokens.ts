import { Injectable } from '@nestjs/common';
import { jwtVerify, type JWTPayload, type JWTVerifyGetKey } from 'jose';
import { z } from 'zod';
import { BrokerError } from '../errors.js';
import { TokenIssuer } from './token-issuer.js';

/** The only signature that UAA's access tokens have: no other is looked at, whatever a token says. */
const ALGORITHMS = ['RS256'];
/** What the tokens of cf are for. */
const AUDIENCE = 'cloud_controller';

const name = z
  .string()
  .min(1)
  .max(255)
  .regex(/^\P{Cc}*$/u);
const claimsSchema = z.object({
  // UAA signs refresh tokens with the same key, for the same audience: only this tells them.
  jti: z
    .string()
    .min(1)
    .refine((id) => !id.endsWith('-r')),
  sub: name,
  user_id: name.optional(),
  user_name: name.optional(),
  client_id: name.optional(),
});

export interface TokenUser {
  id: string;
  name: string;
}

/** Access tokens of Cloud Foundry's users, as `cf oauth-token` shows them. */
@Injectable()
export class UserTokens {
  constructor(private readonly issuer: TokenIssuer) {}

  /**
   * Whose token it is. Of a token that a client got for itself, the client's id stands for both.
   * @throws BrokerError `unauthenticated`; `controller_unreachable` where its keys cannot be had
   */
  async verify(token: string): Promise<TokenUser> {
    const { issuer, keys } = await this.issuer.find();
    const claims = claimsSchema.safeParse(await payloadOf(token, issuer, keys.find));
    if (!claims.success) throw refused();
    const { sub, user_id: id = sub, client_id: client = sub, user_name: own = client } = claims.data;
    return { id, name: own };
  }
}

async function payloadOf(token: string, issuer: string, key: JWTVerifyGetKey): Promise<JWTPayload> {
  try {
    const options = { algorithms: ALGORITHMS, audience: AUDIENCE, issuer, requiredClaims: ['exp', 'jti', 'sub'] };
    return (await jwtVerify(token, key, options)).payload;
  } catch (error) {
    if (error instanceof BrokerError) throw error;
    // Neither the token nor what is in it goes any further.
    throw refused();
  }
}

function refused(): BrokerError {
  return new BrokerError(
    'unauthenticated',
    'the token is not valid here, or not any more: "cf oauth-token" gives a new one',
  );
}
